"""Processors without the one part that needs torchvision, and with this kit's prompts.

What they save names the stock classes: ``AutoProcessor`` and vLLM load the folder.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.image_utils import make_flat_list_of_images
from transformers.processing_utils import ProcessorMixin

from vtkit.models.family import Family
from vtkit.models.prompts import TextStaysText


class ImageOnlyProcessor(TextStaysText, ProcessorMixin):
    """What the processors of all families have in common; :func:`image_only` makes the classes."""

    family: ClassVar[Family]
    _seen: dict[Any, Any] | None = None

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Process no picture and no prompt twice inside the block, where each picture is apart."""
        self._seen = {} if self.family.seen.layout.apart else None
        try:
            yield
        finally:
            self._seen = None

    def apply_chat_template(self, conversation: Any, *args: Any, **kwargs: Any) -> Any:
        stock = super().apply_chat_template
        if self._seen is None:
            return stock(conversation, *args, **kwargs)
        # The name of a picture has its address: copies have one text, and so do their prompts.
        if not kwargs.get("tokenize"):
            asked = repr((conversation, args, kwargs))
            if asked not in self._seen:
                self._seen[asked] = stock(conversation, *args, **kwargs)
            return self._seen[asked]
        if not isinstance(conversation[0], list):
            return stock(conversation, *args, **kwargs)
        return self._once(
            list(map(repr, conversation)), list(map(_pictures_of, conversation)),
            lambda rows: stock([conversation[row] for row in rows], *args, **kwargs),
        )  # fmt: skip

    def __call__(self, images: Any = None, text: Any = None, **kwargs: Any) -> Any:
        stock = super().__call__
        rows = isinstance(images, list) and isinstance(text, list) and len(images) == len(text)
        if self._seen is None or not rows or not all(isinstance(shown, list) for shown in images):
            return stock(images=images, text=text, **kwargs)
        prompts = [(said, *map(id, shown)) for said, shown in zip(text, images, strict=True)]
        return self._once(
            prompts, images,
            lambda rows: stock(
                images=[images[row] for row in rows], text=[text[row] for row in rows], **kwargs
            ),
        )  # fmt: skip

    def _once(
        self, prompts: list[Any], images: list[list[Any]], process: Callable[[list[int]], Any]
    ) -> Any:
        """What ``process`` makes of the rows of distinct prompts, for every row."""
        numbers: dict[Any, int] = {}
        copies = [numbers.setdefault(prompt, len(numbers)) for prompt in prompts]
        found = process([copies.index(number) for number in numbers.values()])
        for name in {"input_ids", "attention_mask", self.family.seen.types} & {*found}:
            values = found[name]
            tensor = isinstance(values, torch.Tensor)
            found[name] = values[copies] if tensor else [list(values[copy]) for copy in copies]
        if any(images):
            every = self._process_images(images)[0]
            found |= {name: every[name] for name in every.keys() & found.keys()}
        return found

    def _process_images(self, images: Any, **kwargs: Any) -> tuple[dict[str, Any], list[str]]:
        if self._seen is None:
            return super()._process_images(images, **kwargs)
        flat = make_flat_list_of_images(images)
        once = {id(picture): picture for picture in flat}
        contents = {name: (one.mode, one.size, one.tobytes()) for name, one in once.items()}
        keys = [contents[id(picture)] for picture in flat]
        for key, picture in zip(keys, flat, strict=True):
            if key not in self._seen:
                own = {**kwargs, "return_tensors": "pt"}
                self._seen[key] = self.image_processor([picture], **own)
        names = self._seen[keys[0]]
        found = {name: torch.cat([self._seen[key][name] for key in keys]) for name in names}
        return found, [self.replace_image_token(found, number) for number in range(len(flat))]

    @property
    def layout(self) -> Any:
        """How pictures become tokens, under the limits that the image processor has now."""
        return self.family.seen.layout.of(self)

    @property
    def picture_length(self) -> int:
        """Tokens of a tile or a square."""
        return getattr(self, self.family.seen.length)

    def to_dict(self) -> dict[str, Any]:
        pictures = self.family.seen
        saved = {**super().to_dict(), "processor_class": pictures.processor}
        if pictures.video:
            saved["video_processor"] = {"video_processor_type": pictures.video}
        return saved


def _pictures_of(turns: list[dict[str, Any]]) -> list[Any]:
    """The pictures of a conversation, in order."""
    contents = [turn["content"] for turn in turns if not isinstance(turn["content"], str)]
    return [part["image"] for parts in contents for part in parts if part["type"] == "image"]


@cache
def image_only(family: Family) -> type[ImageOnlyProcessor]:
    """The class of a family's processors: ``image_only(family)(image_processor, tokenizer)``."""
    pictures, stock = family.seen, family.processor_class
    base: Any = _without_video(family) if pictures.video else stock

    class Processor(ImageOnlyProcessor, base):
        def __init__(
            self,
            image_processor: Any = None,
            tokenizer: Any = None,
            chat_template: Any = None,
            **kwargs: Any,
        ):
            # transformers reads a processor's parts off the names in this signature
            # (ProcessorMixin.get_attributes).
            super().__init__(image_processor, tokenizer, chat_template=chat_template, **kwargs)
            # A stock processor may have that of the mark that comes before.
            self.image_token_id = tokenizer.convert_tokens_to_ids(pictures.token)

    Processor.family = family
    Processor.__name__ = Processor.__qualname__ = f"ImageOnly{stock.__name__}"
    return Processor


def _without_video(family: Family) -> type[ProcessorMixin]:
    """The stock class, built without its video part."""
    pictures = family.seen
    stock: Any = family.processor_class

    class WithoutVideo(stock):
        def __init__(
            self,
            image_processor: Any = None,
            tokenizer: Any = None,
            chat_template: Any = None,
            **kwargs: Any,
        ):
            for name, token in pictures.tokens.items():
                setattr(self, name, token)
                setattr(self, f"{name}_id", tokenizer.convert_tokens_to_ids(token))
            ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)
            if pictures.length:
                setattr(self, pictures.length, kwargs[pictures.length])

        # A stock one may ask the video part how many pictures a second it takes.
        apply_chat_template = ProcessorMixin.apply_chat_template

    return WithoutVideo


def build_processor(
    family: Family, image_processor: Any, tokenizer: Any, template: str, config: Any = None
) -> ImageOnlyProcessor:
    """A processor from its parts; ``config``: of its model, where pictures are tiles or squares."""
    pictures = family.seen
    length = {pictures.length: pictures.tower(config).square} if pictures.length else {}
    return image_only(family)(image_processor, tokenizer, chat_template=template, **length)


def load_parts(model: str | Path, family: Family) -> tuple[Any, PreTrainedTokenizerBase]:
    """The image processor (None without pictures) and the tokenizer of a folder or hub id."""
    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    if family.pictures is None:
        return None, tokenizer
    return family.image_processor_class.from_pretrained(model), tokenizer
