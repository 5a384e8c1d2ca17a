"""Runs the checks of a test script of this folder."""


def run(checks):
    """Prints one line per check, name → function. 1 if one of them fails, else 0: the exit status."""
    failed = 0
    for name, check in checks.items():
        try:
            check()
            print(f"ok      {name}")
        except AssertionError as error:
            failed += 1
            print(f"FAILED  {name}: {error}")
    return 1 if failed else 0
