"""What differs between machines comes from the environment, which bluegreen_environment writes; the rest is the release's."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
RELEASE = BASE_DIR.name  # the directory's name is the release: it shows which code answers

SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]  # the same in all releases and slots, or every release ends all sessions
DEBUG = False
# The health check asks the member by its address, and nginx by its server name.
ALLOWED_HOSTS = os.environ["DJANGO_ALLOWED_HOSTS"].split(",")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

INSTALLED_APPS = ["django.contrib.staticfiles", "books"]
MIDDLEWARE = [
    "library.release.tell_release",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",  # after SecurityMiddleware, before all others
    "django.middleware.common.CommonMiddleware",
]
ROOT_URLCONF = "library.urls"
WSGI_APPLICATION = "library.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

# A file that all releases share. With more than one host it is a server's: django.db.backends.postgresql.
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "data" / "library.sqlite3", "OPTIONS": {"timeout": 20}}}

# Names have the hash of their content. The directory is shared, too: a page of the last release still finds its style sheet in this one.
# The list of names is the release's own.
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {"staticfiles": {"BACKEND": "library.static.Files"}}
