"""Three pages."""

from books import views
from django.urls import path

urlpatterns = [path("", views.shelf), path("health", views.health), path("slow", views.slow)]
