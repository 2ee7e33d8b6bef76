"""Static files of all releases in one shared directory, with a list of names for each release."""

from django.conf import settings
from django.core.files.storage import FileSystemStorage
from whitenoise.storage import CompressedManifestStaticFilesStorage


class Files(CompressedManifestStaticFilesStorage):
    """collectstatic writes staticfiles.json beside manage.py, where the next release cannot change it."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, manifest_storage=FileSystemStorage(location=settings.BASE_DIR), **kwargs)
