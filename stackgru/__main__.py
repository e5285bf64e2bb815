"""Run the command line: python -m stackgru."""

from stackgru.cli.main import main

if __name__ == "__main__":
    main()
