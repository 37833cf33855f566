"""`python -m crypto_platform`: the command line."""

from crypto_platform.cli import main

if __name__ == "__main__":
    main()
