"""What a family of models has to say about itself; the families are in vtkit.models.families.

Class names are those of transformers, and are looked up when they are needed: this module and the
table import nothing heavy.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from vtkit.models.layouts import Grid, Square, Tiles, Tower


@dataclass(frozen=True)
class Turns:
    """How a chat is written.

    Attributes:
        picture: what a template writes for one picture.
        start: comes before everything, for tokenizers that do not add it to a template's text.
        system: opens the user's turn after a system text, which replaces ``{}``.
        user: opens it without one; close: ends it; assistant: opens the answer.
        helpful: the system text of the family's own template; "" where it has none.
        end: ends an answer of an instruct model; "": the tokenizer's end-of-text token.
    """

    picture: str
    user: str
    close: str
    assistant: str
    system: str
    helpful: str = ""
    start: str = ""
    end: str = ""


@dataclass(frozen=True, eq=False)
class Pictures:
    """How pictures get into a model.

    Attributes:
        layout: how they become tokens.
        token: stands in a prompt where features of a picture go.
        processor: class that loads what is saved; image, video: classes of its parts. Where it has
            a ``video``, its one part that needs torchvision, it is built without.
        tokens: attributes of a processor that is built so, and the special tokens they name.
        length: argument of the processor that is the tokens of a tile or square.
        types: input that tells tokens of pictures from text; "" where the model needs none.
        tower: reads the sizes of the vision tower off a configuration.
        kept: widths, and inner widths, that a vision block keeps of a patch for its backward pass.
    """

    layout: type[Grid] | type[Tiles] | type[Square]
    token: str
    processor: str
    image: str
    tower: Callable[[Any], Tower]
    kept: tuple[float, float]
    video: str = ""
    tokens: dict[str, str] = field(default_factory=dict)
    length: str = ""
    types: str = ""


@dataclass(frozen=True, eq=False)
class Family:
    """All that differs between families.

    Attributes:
        model, config: classes.
        blocks: classes of the layers of text and vision, which sharding wraps.
        turns: how a chat is written.
        adapted: linear layers that get an adapter, patterns of full names by part.
        language: module of the language part.
        vision: modules of the vision tower and of what leads from it into the language part.
        whole: linear layers, besides those, that a base in 4 bits keeps as they are.
        kept: widths in float32, widths and inner widths in the precision of a forward pass, that a
            decoder layer keeps of a token for its backward pass.
        saved: beginning of the name, in a checkpoint, of the language part's tensors.
        sharing: prompts are read once in training too, or when sampling only: then states of
            layers cannot be put before others with gradients.
        tokenizer: class that AutoTokenizer makes beside such a config.json, whatever was saved; it
            has rules of its own for cutting words. "": the saved one.
        vllm: prompts are proven to be those of vLLM, which gets one image token for a run of them.
        pictures: None in a family that reads text only.
    """

    model: str
    config: str
    blocks: tuple[str, ...]
    turns: Turns
    adapted: dict[str, str]
    language: str
    saved: str
    kept: tuple[float, float, float] = (4, 6, 4)
    vision: tuple[str, ...] = ()
    whole: tuple[str, ...] = ("lm_head",)
    sharing: Literal["training", "sampling"] = "training"
    tokenizer: str = ""
    vllm: bool = True
    pictures: Pictures | None = None

    @property
    def seen(self) -> Pictures:
        """How pictures get into a model of a family that reads them."""
        assert self.pictures is not None, f"{self.model} reads text only"
        return self.pictures

    @property
    def model_class(self) -> Any:
        return _of_transformers(self.model)

    @property
    def config_class(self) -> Any:
        return _of_transformers(self.config)

    @property
    def tokenizer_class(self) -> Any:
        return _of_transformers(self.tokenizer)

    @property
    def processor_class(self) -> Any:
        return _of_transformers(self.seen.processor)

    @property
    def image_processor_class(self) -> Any:
        """The one that resizes with Pillow."""
        name = self.seen.image
        try:
            return _of_transformers(f"{name}Pil")
        except AttributeError:  # older transformers, as vLLM wants it
            return _of_transformers(name)

    @property
    def marks(self) -> list[str]:
        """Special tokens that every prompt with a picture has."""
        return [*filter(None, [self.turns.start]), self.seen.token]

    @property
    def unquantized(self) -> list[str]:
        """Modules that a base in 4 bits keeps, full names: parts of one match nothing."""
        return [*self.vision, *self.whole]

    def is_vision(self, name: str) -> bool:
        """Tell a parameter of the vision modules from one of the language part."""
        return any(f".{module}." in f".{name}" for module in self.vision)

    def vision_modules(self, model: Any) -> list[Any]:
        """The vision modules of a model, adapters aside."""
        return [without_adapters(model).get_submodule(name) for name in self.vision]


def without_adapters(model: Any) -> Any:
    """The model that adapters are around; any other is its own."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _of_transformers(name: str) -> Any:
    import transformers  # slow

    return getattr(transformers, name)
