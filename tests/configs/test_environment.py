import getpass

from tasks_lib.configs import Environment


def test_the_environment_says_how_a_run_is_meant() -> None:
    """What is set counts, and what is set to nothing does not."""
    found = Environment.of({"PREFECT_API_URL": "http://x/api", "NO_COLOR": "1", "A": "b"}, user="ann")
    assert (found.prefect_api_url, found.no_color, found.user) == ("http://x/api", True, "ann")
    assert found.variables["A"] == "b"
    empty = Environment.of({"PREFECT_API_URL": " ", "NO_COLOR": ""})
    assert (empty.prefect_api_url, empty.no_color, empty.user) == (None, False, None)


def test_the_variables_are_not_shown() -> None:
    """Keys are among them."""
    assert "sk-1" not in repr(Environment.of({"OPENAI_API_KEY": "sk-1"}))


def test_the_process_has_an_environment() -> None:
    """And somebody runs it."""
    found = Environment.from_os()
    assert found.user == getpass.getuser()
    assert "PATH" in found.variables
