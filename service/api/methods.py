"""Which methods a path has: for whoever asks, and for whoever used another.

Rule: OPTIONS and a 405 say in `Allow` what the path really has. The framework's own answer to OPTIONS names only what
the first handler of a path has, so it is given here; needs of a key are as for the path's other methods.
"""

from litestar.enums import HttpMethod
from litestar.response import Response
from litestar.routes import HTTPRoute

from service.api.edge import Http


async def answer_options(request: Http) -> Response[None] | None:
    """The answer to OPTIONS; nothing for every other method, which goes on to its handler."""
    if request.method != HttpMethod.OPTIONS:
        return None
    return Response(None, status_code=204, headers={"allow": ", ".join(sorted(methods_of(request)))})


def methods_of(request: Http) -> set[str]:
    """The methods of the path that was found."""
    template = request.scope["path_template"]
    found = (route for route in request.app.routes if isinstance(route, HTTPRoute) and route.path_format == template)
    return {str(method) for route in found for method in route.methods}
