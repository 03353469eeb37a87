"""Grafana's dashboards, made by code. Not in `config/`, because that is shipped in the wheel as it stands."""
