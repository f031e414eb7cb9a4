"""What tests of tasks expect."""


def raises(kind, function):
    """The exception of this kind that the function raises."""
    try:
        result = function()
    except kind as error:
        return error
    raise AssertionError(f"{kind} was not raised: {result!r}")
