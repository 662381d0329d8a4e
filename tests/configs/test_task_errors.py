# ruff: noqa: E501, ISC004  a message is asserted as it is printed, in one line
import pytest

from tasks_lib.configs import ConfigError, ConfigWarning, load_job, load_task
from tests.configs.project import TASK, Project

FILE = "configs/tasks/task.yaml"
PROVIDERS = (
    "anthropic, deepseek, google, groq, llamacpp, local, mistral, ollama, openai, openrouter, "
    "parallel, rightbrain, together, vllm, webagent, webagent_cloud"
)
TWO = """\
revisions:
  - user_prompt: "{{text}}"
    model: openai:a
  - user_prompt: "{{text}}!"
    model: openai:b
"""
WEIGHED = TWO.replace("    model: openai:a", "    weight: 1\n    model: openai:a")


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (TWO + "    fallbak: []\n", [":6:5: unknown key 'fallbak' in revisions[1]. Did you mean 'fallback'?"]),
        (TWO + "    weight: -1\n", [":6:13: revisions[1].weight must be at least 0, not -1"]),
        (TWO + "    weight: much\n", [":6:13: revisions[1].weight must be a number, not 'much'"]),
        (TWO.replace("    model", "    weight: 0\n    model"), [":2:3: all weights are 0. Give one revision a weight."]),
        (TWO + "    tag: v1\n", [":6:10: the tag 'v1' is taken by revisions[0]"]),
        (
            TWO + "    tag: a b\n",
            [":6:10: revisions[1].tag must be 1 to 64 letters, digits, '_', '-' or '.', the first a letter or digit"],
        ),
        (
            TWO + "system_prompt: x\n",
            [":6:1: 'system_prompt' stands beside 'revisions'. Move it into the revisions it is meant for."],
        ),
        ("revisions: []\n", [":1:12: revisions must not be empty"]),
        ("revisions: {a: 1}\n", [":1:12: revisions must be a list, not a mapping"]),
        ("revisions: [1]\n", [":1:13: revisions[0] must be a mapping (key: value), not 1"]),
        (
            "task: t\n",
            [
                ":1:1: 'user_prompt' is missing. A task needs user_prompt and model, or revisions.",
                ":1:1: 'model' is missing. A task needs user_prompt and model, or revisions.",
            ],
        ),
        ("revisions:\n  - model: openai:a\n", [":2:5: 'user_prompt' is missing in revisions[0]"]),
        (
            'user_prompt: "{{text}}"\nmodel: gpt-5-mini\n',
            [":2:8: model must be of the form provider:name, such as openai:gpt-5-mini"],
        ),
        (
            'user_prompt: "{{text}}"\nmodel: opnai:gpt-5-mini\n',
            [f":2:8: unknown provider 'opnai'. Did you mean 'openai'? The providers are {PROVIDERS}."],
        ),
        (
            'user_prompt: "{{text}}"\nmodel: zzz:gpt-5-mini\n',
            [f":2:8: unknown provider 'zzz'. The providers are {PROVIDERS}."],
        ),
        (TASK + "fallback: openai:a\n", [":4:11: fallback must be a list, not 'openai:a'"]),
        (TASK + "fallback: [{modl: openai:a}]\n", [":4:13: unknown key 'modl' in fallback[0]. Did you mean 'model'?"]),
        (
            TASK + "fallback:\n  - grok:a\n  - {model: a:b}\n",
            [
                f":5:5: unknown provider 'grok'. Did you mean 'groq'? The providers are {PROVIDERS}.",
                f":6:13: unknown provider 'a'. The providers are {PROVIDERS}.",
            ],
        ),
        (TASK + "parameters: {stream: true}\n", [":4:14: 'stream' cannot be a parameter. Answers are read whole."]),
        (TASK + "parameters: {n: 2}\n", [":4:14: 'n' cannot be a parameter. One answer is asked for each row."]),
        (
            TASK + "parameters: {response_format: {type: text}}\n",
            [":4:14: 'response_format' cannot be a parameter. Write output.modality and output.schema."],
        ),
        (TASK + "parameters: {max_tokens: 0}\n", [":4:26: max_tokens must be a whole number of at least 1"]),
        (TASK + "parameters: {max_tokens: '9'}\n", [":4:26: max_tokens must be a whole number of at least 1"]),
        (TASK + "parameters: 7\n", [":4:13: parameters must be a mapping (key: value), not 7"]),
        (
            TASK + "output: {modality: jsn}\n",
            [":4:20: output.modality must be json, text, csv, image, audio or pdf, not 'jsn'"],
        ),
        (TASK + "output: jsn\n", [":4:9: output must be json, text, csv, image, audio or pdf, not 'jsn'"]),
        (
            TASK + "output: {modality: csv, output_format: {a: str}, coerce: false}\n",
            [":4:25: output.output_format is for json, and the modality is csv. "
             "Leave it out, or change the modality."],
        ),
        (
            TASK + "output: {columns: {a: str}, file_type: png, min_rows: 1, max_rows: 2}\n",
            [
                f":4:{column}: output.{key} is for {of}, and the modality is json. "
                "Leave it out, or change the modality."
                for key, column, of in (
                    ("columns", 10, "csv"),
                    ("min_rows", 45, "csv"),
                    ("max_rows", 58, "csv"),
                    ("file_type", 29, "image and audio"),
                )
            ],
        ),
        (
            TASK + "output: {schema: {}, output_format: {a: str}}\n",
            [":4:22: output.output_format stands beside output.schema. Write one of the two."],
        ),
        (TASK + "output: {output_format: {}}\n", [":4:25: output.output_format must have at least one field"]),
        (
            TASK + "output:\n  output_format:\n    a: str\n    b: {type: text}\n    c d: int\n",
            [
                ":7:15: output.output_format.b.type must be one of str, string, int, integer, number, float, bool, "
                "boolean, list, array, object, not 'text'",
                ":8:10: output.output_format.c d must be named with 1 to 64 of a-z, A-Z, 0-9, '_', '.' and '-'",
            ],
        ),
        (
            TASK + "output: {modality: csv, columns: {a: txt}}\n",
            [
                ":4:38: output.columns.a must be str, string, int, integer, float, number, bool, boolean, date or "
                "datetime, not 'txt'"
            ],
        ),
        (
            TASK + "output: {modality: csv, columns: {a: {typ: str}}}\n",
            [":4:39: unknown key 'typ' in output.columns.a. Did you mean 'type'?"],
        ),
        (
            TASK + 'output: {modality: csv, columns: {" a": str}}\n',
            [":4:35: the column ' a' cannot stand in a header"],
        ),
        (TASK + "output: {modality: csv, columns: [a]}\n", [":4:34: output.columns must be a mapping (key: value), not a list"]),
        (
            TASK + "output: {modality: csv, min_rows: 3, max_rows: 2}\n",
            [":4:48: output.max_rows is 2, and output.min_rows is 3"],
        ),
        (
            TASK + "output: {modality: image, file_type: pgn}\n",
            [":4:38: output.file_type cannot be 'pgn' for image. Did you mean 'png'?"],
        ),
        (
            TASK + "output: {modality: audio, file_type: png}\n",
            [":4:38: output.file_type cannot be 'png' for audio. The types are wav, mp3, opus, aac, flac."],
        ),
        (
            TASK + "output: {modality: pdf, file_type: pdf}\n",
            [":4:25: output.file_type is for image and audio, and the modality is pdf. "
             "Leave it out, or change the modality."],
        ),
        (
            TASK + "output: {schema: {type: objec}}\n",
            [
                ":4:18: output.schema is not a JSON Schema: \"objec\" is not valid under any of the schemas listed "
                "in the 'anyOf' keyword"
            ],
        ),
        (TASK + "output: {schema: [a]}\n", [":4:18: output.schema must be text, not a list"]),
        (TASK + "output: {schema: none.json}\n", [":4:18: there is no schema file configs/tasks/none.json"]),
        (
            TASK + "output: {modality: text, schema: {}}\n",
            [":4:26: output.schema is for json, and the modality is text. Leave it out, or change the modality."],
        ),
        (
            TASK + "output:\n  schema:\n    properties:\n      a:\n        $ref: file:///etc/hostname\n",
            [
                ":8:15: output.schema.properties.a.$ref points out of the schema, and nothing is fetched. "
                "Put what it means into $defs."
            ],
        ),
        (
            "task: x\nsource: rows.csv\n",
            [
                ":2:1: the key 'source' belongs in a job file, and this is read as a task file. "
                "A job's 'task' names the task file."
            ],
        ),
        (TASK + "user_prompt: again\n", [":4:1: the key 'user_prompt' stands here again. It is in line 2."]),
        ("user_prompt: {{text}} is it\n", [
            ':1:23: a text that begins with {{ must stand in quotes. Write "{{name}} …".'
        ]),
    ],
)  # fmt: skip
def test_a_task_that_cannot_be_asked_says_where_and_why(
    project: Project, text: str, messages: list[str]
) -> None:
    """Each mistake is told with file, line, column and remedy, alone and by the job that names the task."""
    project.write(FILE, text)
    for load in (lambda: load_task(project.task), lambda: load_job(project.job)):
        with pytest.raises(ConfigError) as caught:
            load()
        assert project.told(caught.value) == [FILE + message for message in messages]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"type": }', "configs/tasks/s.json:1:10: this is not JSON: Expecting value"),
        (b"[]", "configs/tasks/s.json:1:1: a schema must be a JSON object"),
        (b"\xff", "configs/tasks/s.json: this is not JSON in UTF-8"),
        (b'{"a":' * 100_000, "configs/tasks/s.json: this is not JSON in UTF-8"),
        (b'{"a":' * 61 + b"1" + b"}" * 61, "configs/tasks/s.json: more than 60 levels"),
    ],
)
def test_a_schema_file_that_is_none_is_told_with_its_own_place(
    project: Project, content: bytes, message: str
) -> None:
    """What is wrong within the schema's file is told there."""
    project.write("configs/tasks/s.json", content)
    project.write(FILE, TASK + "output: {schema: s.json}\n")
    with pytest.raises(ConfigError) as caught:
        load_task(project.task)
    assert project.told(caught.value) == [message]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            WEIGHED + "    weight: 3\n",
            ":2:3: the weights add up to 4, not to 1: as shares of their sum they mean v1 25.0%, v2 75.0%",
        ),
        (
            "user_prompt: Is it {text}?\nmodel: openai:a\n",
            ":1:14: the prompts hold no {{placeholder}}: every row would ask the same. Did you mean {{text}}?",
        ),
        (
            "user_prompt: Tell a joke.\nmodel: openai:a\n",
            ":1:14: the prompts hold no {{placeholder}}: every row would ask the same",
        ),
    ],
)
def test_what_is_perhaps_not_meant_is_a_warning(project: Project, text: str, message: str) -> None:
    """It can be run, so it is no error; but it is said."""
    project.write(FILE, text)
    with pytest.warns(ConfigWarning) as told:
        load_task(project.task)
    assert [str(warning.message).replace(f"{project.folder}/", "") for warning in told] == [FILE + message]


@pytest.mark.parametrize("weights", [("0.5", "0.5"), ("70", "30"), (None, "0"), ("1", "0")])
def test_weights_that_are_shares_are_no_doubt(
    project: Project, weights: tuple[str | None, str | None]
) -> None:
    """Weights that add up to 1 or 100, and none beside 0, need no warning (which would fail this test)."""
    lines = [f"    weight: {weight}\n" if weight else "" for weight in weights]
    head, second = TWO.replace("    model: openai:a\n", "    model: openai:a\n" + lines[0]), lines[1]
    project.write(FILE, head + second)
    assert len(load_task(project.task).revisions) == 2
