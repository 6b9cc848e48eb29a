"""A bundle, read and judged: what it is, what it takes and gives, and how its pieces are made."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepImagingLib.bundles import groups as grouping
from DeepImagingLib.bundles import metadata as told
from DeepImagingLib.bundles import torchvision_parts
from DeepImagingLib.bundles.borders import Border, borders
from DeepImagingLib.bundles.build import Builder, Pipeline, judged_builder
from DeepImagingLib.bundles.closure import DETECTOR_ROOTS, ROOTS, checkpoint_loaders, close
from DeepImagingLib.bundles.detector import (
    SETTINGS,
    build_detector,
    detector_key,
    resample_always,
    skipped_steps,
    with_settings,
)
from DeepImagingLib.bundles.find import find_bundle
from DeepImagingLib.bundles.fingerprint import content_files, fingerprint, settings_fingerprint
from DeepImagingLib.bundles.judge import judge, judge_imports, judge_value
from DeepImagingLib.bundles.reader import Reader
from DeepImagingLib.bundles.references import Expander, Refusal, join, shown
from DeepImagingLib.bundles.repairs import invert_labels_by_nearest
from DeepImagingLib.bundles.source import Source, read_source
from DeepImagingLib.bundles.trusted import TrustedBuilder
from DeepImagingLib.bundles.weights import load_into, weights_file
from DeepImagingLib.errors import BundleError, TrustError

if TYPE_CHECKING:
    import torch

CONFIG_NAMES = ("inference.json", "inference.yaml", "inference.yml")
MAX_SHOWN = 400
PRED_KEY = "pred"
"""MONAI's evaluators put the network's output under this key, whatever the metadata calls it."""


@dataclass(frozen=True)
class Bundle:
    """A MONAI bundle that may run.

    Attributes:
        path: Its folder.
        name: Its folder's name.
        version: As its metadata says.
        metadata: All of metadata.json.
        task: "segmentation", or what else the metadata describes.
        channels: Names of the images a user gives, in the network's order: the channels of one image, or, where
            the bundle loads several images, their keys.
        image_keys: Keys under which the preprocessing takes images.
        input_key: Key of the preprocessed image that goes into the network.
        pred_key: Key under which the post-processing takes the network's output.
        labels: Number of each output channel to its name.
        spatial_dims: Axes the network works on, 2 or 3.
        takes_volume: True where a 3-D image goes in, be it slice by slice.
        modality: Of the first input, such as "CT"; empty where the metadata is silent.
        value_range: Of the network's input, where the metadata tells.
        weights: The weights file.
        folds: Files of further weights for the same network, whose answers are averaged with the first's.
        trusted: True where the user let this very content run unjudged.
        exclusive: True where the post-processing gives each voxel one label (an argmax), False where labels may
            overlap (a threshold), None where that can't be told.
        groups: Name of each group of exclusive labels to the names of its labels.
        hidden: Names of labels and groups that aren't shown by default.
        borders: Where labels grow into others after the network has decided, as the image shows it.
        notes: Sentences about what was adapted or skipped.
        detector: Key of the detector in the config; "" where the bundle finds no boxes.
        score_threshold: From which score on a box counts as a finding.
        input_channels: Of a classifier's images all together.
        patch: Size in pixels of what a classifier sees of a large picture; None where it sees all of it.
        config: The part of the config that the road evaluates.
        loaded: SHA-256 of what was read: of the whole content where trusted, else of the texts in `configs`.
    """

    path: Path
    name: str
    version: str
    metadata: Mapping[str, Any]
    task: str
    channels: tuple[str, ...]
    image_keys: tuple[str, ...]
    input_key: str
    pred_key: str
    labels: Mapping[int, str]
    spatial_dims: int
    takes_volume: bool
    modality: str
    value_range: tuple[float, float] | None
    weights: Path
    folds: tuple[Path, ...] = ()
    trusted: bool = False
    exclusive: bool | None = None
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    borders: tuple[Border, ...] = ()
    notes: tuple[str, ...] = ()
    detector: str = ""
    score_threshold: float = told.DEFAULT_THRESHOLD
    input_channels: int = 1
    patch: tuple[int, ...] | None = None
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    loaded: str = field(default="", repr=False)

    @property
    def classifies(self) -> bool:
        """Whether it answers with a probability a label for a whole image."""
        return self.task == "classification"

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over the configs, weights and scripts: the exact content that `--trust` names.

        It is computed when first asked for, and anew by `build`: afterwards it names what was built.
        """
        return fingerprint(self.path)

    def build(self, device: torch.device | str = "cpu") -> Pipeline:
        """Make the four pieces of a run on `device`, all of one make.

        Raises:
            BundleError: A setting or the weights don't fit.
            TrustError: The content changed since it was loaded, or the weights file holds more than weights.

        Example:
            >>> pipeline = load_bundle("torso_ct_segmentation").build("cpu")  # doctest: +SKIP
            >>> prepared = pipeline.preprocessing({"image": image})  # doctest: +SKIP
        """
        import torch

        self._check_content()
        device = torch.device(device)
        try:
            pipeline = self._pieces(self._builder(device))
        except Refusal as refusal:
            raise _refused(self.path, _read(self.path)[1], refusal) from refusal
        except RecursionError as error:
            raise BundleError(f"The config of {self.name} refers in too long a chain to be built.") from error
        networks = [pipeline.network, *(deepcopy(pipeline.network) for _ in self.folds)]
        for network, path in zip(networks, (self.weights, *self.folds), strict=True):
            load_into(network, path, device, trusted=self.trusted)
            network.to(device).eval()
        return replace(pipeline, network=_merged(networks)) if self.folds else pipeline

    def _check_content(self) -> None:
        """Compute `sha256` anew; raises TrustError unless what was read, and what is trusted, is still there."""
        content = fingerprint(self.path)
        if self.loaded != (content if self.trusted else settings_fingerprint(self.path)):
            raise TrustError(f"The content of the bundle {self.name} changed since it was loaded; load it again.")
        covered = {path.resolve() for path in content_files(self.path)}
        for path in (self.weights, *self.folds):
            if path not in covered:
                raise TrustError(f"{path.name} is no file that the bundle's SHA-256 covers; move it into `models`.")
        self.__dict__["sha256"] = content

    def _pieces(self, builder: Builder | TrustedBuilder) -> Pipeline:
        import torch
        from monai.transforms import Compose

        torchvision_parts.load_for(self.config)
        preprocessing = self._piece(builder, "preprocessing", Compose)
        network = self._piece(builder, "network" if "network" in self.config else "network_def", torch.nn.Module)
        if self.detector:
            detector = build_detector(builder, self.detector)
            detector.parts.network = network
            return Pipeline(preprocessing, network, detector.parts, Compose([]), detector)
        inferer = self._piece(builder, "inferer", Callable)
        has_post = self.config.get("postprocessing") is not None
        postprocessing = self._piece(builder, "postprocessing", Compose) if has_post else Compose([])
        return Pipeline(preprocessing, network, inferer, postprocessing)

    def _piece(self, builder: Builder | TrustedBuilder, key: str, kind: Any) -> Any:
        piece = builder.get(key)
        if not isinstance(piece, kind):
            raise BundleError(f"`{key}` of {self.name} is a {type(piece).__name__}, expected a {kind.__name__}.")
        return piece

    def _builder(self, device: torch.device) -> Builder | TrustedBuilder:
        make = TrustedBuilder if self.trusted else judged_builder
        return make(self.config, str(self.path), device)


def _merged(networks: Sequence[torch.nn.Module]) -> torch.nn.Module:
    from DeepImagingLib.bundles.folds import Folds

    return Folds(networks)


def load_bundle(name_or_path: str | os.PathLike[str], trust: str | None = None, *, hint: bool = True) -> Bundle:
    """Read a bundle and judge it.

    Nothing in it is evaluated but plain values. Where it is trusted, the path of its weights is computed as it
    stands there, which may run the bundle's own code.

    Args:
        name_or_path: Its folder, or the name of one in the user's model folder or among the shipped ones.
        trust: SHA-256 of a bundle's exact content (`Bundle.sha256`): that one is let through unjudged.
        hint: Say with a refusal which SHA-256 would have to be trusted, for which all files are read.

    Raises:
        BundleError: The bundle is incomplete or broken; the message names the file and what is wrong in it.
        TrustError: Its config asks for what may not run (named with key and line), or `trust` names another content.
    """
    root = find_bundle(name_or_path)
    # The hash comes first, so that a change while reading is noticed by `build`.
    loaded = settings_fingerprint(root) if trust is None else _checked_trust(root, trust)
    metadata, source = _read(root)
    try:
        return replace(_described(root, metadata, source, trust is not None), loaded=loaded)
    except Refusal as refusal:
        raise _refused(root, source, refusal, hint) from refusal
    except RecursionError as error:
        raise BundleError(f"{source.name} refers in too long a chain to be read.") from error


def _read(root: Path) -> tuple[dict[str, Any], Source]:
    """Read metadata and inference config; raises BundleError naming what is missing."""
    configs = root / "configs"
    if not (configs / "metadata.json").is_file():
        raise BundleError(f"The folder {root.name} is no MONAI bundle: it has no configs/metadata.json.")
    found = [configs / name for name in CONFIG_NAMES if (configs / name).is_file()]
    if not found:
        raise BundleError(f"The bundle {root.name} has none of {', '.join(CONFIG_NAMES)} in configs.")
    source = read_source(found[0], root)
    runner = detector_key(source.config) or "inferer"
    for names in (("network", "network_def"), ("preprocessing",), (runner,)):
        if not any(name in source.config for name in names):
            raise BundleError(f"{source.name} has no `{names[-1]}`, which a bundle needs to be run.")
    return read_source(configs / "metadata.json", root).config, source


def _checked_trust(root: Path, trust: str) -> str:
    """Return the SHA-256 of the bundle's content; raises TrustError where `trust` is another."""
    _read(root)  # what is no bundle isn't hashed, since that could be a whole disk
    actual = fingerprint(root)
    if trust.strip().lower() != actual:
        raise TrustError(
            f"The trust given is for another content: this bundle's SHA-256 is {actual}, not {trust[:70]!r}; "
            "review it as it is now, then trust this one."
        )
    return actual


def _refused(root: Path, source: Source, refusal: Refusal, hint: bool = True) -> TrustError:
    asked = "".join(c if c.isprintable() else "?" for c in f"`{shown(refusal.ident)}` {refusal}")
    if len(asked) > MAX_SHOWN:
        asked = asked[:MAX_SHOWN] + " …"
    remedy = f"; {_remedy(root)}" if hint else ""
    return TrustError(f"{source.name}, line {source.line(refusal.ident)}: {asked}; nothing was run{remedy}")


def _remedy(root: Path) -> str:
    try:
        return f"if you have reviewed the bundle and trust it, run it with --trust {fingerprint(root)}"
    except BundleError as error:
        return str(error)


def _described(root: Path, metadata: dict[str, Any], source: Source, trusted: bool) -> Bundle:
    detector = detector_key(source.config)
    if detector:
        source = replace(source, config=with_settings(source.config, detector))
    loader = _weights_setting(source.config, lenient=trusted)
    roots = (*DETECTOR_ROOTS, detector, SETTINGS) if detector else ROOTS
    closure = close(source.config, [loader], roots=roots, lenient=trusted)
    reader = Reader(closure.config, str(root))
    if detector:
        resample_always(reader, closure.note)
        skipped_steps(source.config, closure.note)
    if not trusted:
        judge_imports(source.config)
        judge({key: closure.config[key] for key in source.config if key in closure.config})
        judge_value(loader[1], loader[0])
    channels_out = max(told.channel_count(metadata, PRED_KEY), reader.channel_count()) or None
    invert_labels_by_nearest(reader.steps("postprocessing"), channels_out, closure.note)
    config = {**source.config, **closure.config} if trusted else closure.config
    folds = tuple(weights_file(root, name) for name in told.folds(metadata))
    if folds and detector:
        raise BundleError(f"{root.name} names folds, but boxes can't be averaged; remove them.")
    if folds:
        closure.note(f"The answers of {len(folds) + 1} sets of weights are averaged, where stock MONAI runs one.")
    labels, exclusive = told.labels(metadata, PRED_KEY), reader.exclusive(PRED_KEY)
    groups = grouping.groups(metadata, labels, exclusive)
    image_keys = reader.image_keys(metadata)
    spatial_dims = reader.spatial_dims() or told.shape_length(metadata) or 3
    return Bundle(
        path=root,
        name=root.name,
        version=told.printable(metadata.get("version", "")),
        metadata=metadata,
        task="detection" if detector else told.task(metadata),
        channels=told.channels(metadata, image_keys),
        image_keys=image_keys,
        input_key=reader.input_key(image_keys),
        pred_key=PRED_KEY,
        labels=labels,
        spatial_dims=spatial_dims,
        takes_volume=spatial_dims == 3 or reader.works_slice_by_slice(),
        modality=told.printable(told.first_input(metadata).get("modality", "")),
        value_range=told.value_range(metadata),
        weights=_weights(root, loader, reader, config if trusted else None),
        folds=folds,
        trusted=trusted,
        exclusive=exclusive,
        groups=groups,
        hidden=grouping.hidden(metadata, [*labels.values(), *groups]),
        borders=borders(metadata, labels, exclusive),
        notes=tuple(closure.notes),
        detector=detector,
        score_threshold=told.score_threshold(metadata),
        input_channels=told.input_channels(metadata),
        patch=told.patch(metadata),
        config=config,
    )


def _weights_setting(config: Mapping[str, Any], *, lenient: bool) -> tuple[str, Any]:
    """Return the id and the raw path of the weights that the config's CheckpointLoader asks for; None without one."""
    loaders = sorted(checkpoint_loaders(config), key=lambda found: "@network" not in str(found[1].get("load_dict")))
    if not loaders:
        return "", None
    place = join(loaders[0][0], "load_path")
    return place, Expander(config, lenient=lenient).expand(loaders[0][1]["load_path"], place)


def _weights(root: Path, setting: tuple[str, Any], reader: Reader, trusted_config: Mapping[str, Any] | None) -> Path:
    """Return the weights file; raises BundleError where the path can't be computed or nothing is there."""
    ident, raw = setting
    asked = reader.plain(raw, ident)
    if asked is None and raw is not None and trusted_config is not None:
        asked = TrustedBuilder(trusted_config, str(root), "cpu").get(ident)
    if raw is not None and not isinstance(asked, (str, os.PathLike)):
        raise BundleError(f"`{shown(ident)}` is no path that can be read from the config: {repr(raw)[:MAX_SHOWN]}.")
    try:
        return weights_file(root, asked and os.fspath(asked))
    except TrustError as error:
        if not ident:
            raise
        raise Refusal(ident, f"asks for weights that aren't in the bundle ({str(error).rstrip('.')})") from error
