"""Settings from flags and files, and what is said about wrong ones."""

from importlib.metadata import version
from pathlib import Path

import pytest

from foldnet_train.cli import main
from foldnet_train.errors import BadInput
from foldnet_train.settings import NETWORKS, Settings, convert, from_file


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("learning_rate", "0", "1e-07"),
        ("learning_rate", "nan", "a number"),
        ("learning_rate", "fast", "a number"),
        ("dropout", "1.0", "0.9"),
        ("batch_size", "0", "1 to 4096"),
        ("batch_size", "2.5", "whole number"),
        ("batch_size", "inf", "whole number"),
        ("num_blocks", "1000", "200"),
        ("kernel", "4", "1, 3, 5, 7"),
        ("activation", "gelu", "relu, sigmoid, tanh"),
        ("network", "vgg", "resnet8"),
        ("flip", "maybe", "true or false"),
        ("strides", "1,x", "whole numbers"),
        ("strides", "1,9", "1 to 4"),
        ("stage_filters", "8,16", "2 stages"),
        ("colour", "red", "no setting is called colour"),
    ],
)
def test_a_value_outside_is_named_with_what_is_possible(name: str, value: str, said: str) -> None:
    with pytest.raises(BadInput) as error:
        Settings(**{name: convert(name, value)})
    assert name in str(error.value) and said in str(error.value)


def test_a_file_of_settings_is_read_and_written_alike(tmp_path: Path) -> None:
    import yaml

    settings = Settings(network="residual", stage_filters=(8, 16, 32), flip=False, l2=0.0)
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(settings.asdict()))
    assert Settings(**from_file(file)) == settings
    for text, said in [("- 1\n- 2", "setting: value"), ("a: [", "settings.yaml"), ("epochs: many", "whole number")]:
        file.write_text(text)
        with pytest.raises(BadInput, match=said):
            from_file(file)


def test_the_networks_of_the_readme_are_there() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    assert [name for name in NETWORKS if f"`{name}`" not in readme] == []


def test_the_program_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"foldnet-train {version('foldnet-train')}\n"
