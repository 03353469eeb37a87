"""HTTP plumbing: middleware, request context, headers, bodies, errors."""
