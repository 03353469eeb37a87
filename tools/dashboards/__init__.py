"""Grafana's dashboards as code. They stand outside `config/`, because the wheel ships `config/` as it is."""
