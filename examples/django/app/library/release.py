"""Each answer says which release gave it."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse


def tell_release(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response["X-Release"] = settings.RELEASE
        return response

    return middleware
