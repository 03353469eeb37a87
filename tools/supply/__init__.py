"""What is installed: locked, listed, described and audited."""
