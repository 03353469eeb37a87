"""Grafana's dashboards, made by code. Here and not in `config/`, because `config/` is shipped in the wheel as it stands."""
