"""The supply chain: locks, list of packages, bill of materials, audit."""
