"""`python -m app` is the `docsearch-api` command."""

from app.cli import main

main()
