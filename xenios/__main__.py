"""`python -m xenios`.

Effects: see cli/main.py
"""

from xenios.cli.main import main

if __name__ == "__main__":
    main()
