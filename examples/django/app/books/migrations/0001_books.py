"""The table, and a book so that the shelf is not empty."""

from django.db import migrations, models


def first_book(apps, schema_editor):
    apps.get_model("books", "Book").objects.get_or_create(title="The Moonstone")


class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel(
            name="Book",
            fields=[("id", models.BigAutoField(primary_key=True)), ("title", models.CharField(max_length=200, unique=True))],
        ),
        migrations.RunPython(first_book, migrations.RunPython.noop),
    ]
