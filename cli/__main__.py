"""``python -m cli``: what `finops` is where console scripts are not installed; children are started so."""

from cli.main import main

if __name__ == "__main__":
    main()
