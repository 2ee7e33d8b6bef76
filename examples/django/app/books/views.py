"""The shelf, and what the health check asks."""

import time

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join

from books.models import Book


def shelf(request: HttpRequest) -> HttpResponse:
    titles = format_html_join("", "<li>{}</li>", Book.objects.values_list("title"))
    return HttpResponse(format_html('<link rel="stylesheet" href="{}"><ul>{}</ul>', static("books/shelf.css"), titles))


def health(request: HttpRequest) -> JsonResponse:
    """200 if the database answers and has the tables that this code needs."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM books_book LIMIT 1")
    return JsonResponse({"status": "ok"})


def slow(request: HttpRequest) -> HttpResponse:
    """Three seconds: ask it during a release."""
    time.sleep(3)
    return HttpResponse("done")
