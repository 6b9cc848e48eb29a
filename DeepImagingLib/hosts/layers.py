"""Which layers of a classifier a heatmap can be made of."""

from __future__ import annotations

from dataclasses import dataclass

from DeepImagingLib.hosts.job import Context, OnImages


@dataclass(frozen=True)
class LayersJob(OnImages):
    """Find the layers, by running the network once on a part of the image that a run would see."""

    def perform(self, context: Context) -> tuple[str, ...]:
        """Return their names, the last one of the run at the end; raises what `DeepImagingLib.run` raises."""
        bundle, images = self._taken(context)
        from DeepImagingLib.explain import layers
        from DeepImagingLib.inference.classify import parts_of, prepared
        from DeepImagingLib.inference.device import choose_device
        from DeepImagingLib.inference.inputs import gather, prepare
        from DeepImagingLib.inference.progress import Monitor

        device, monitor = choose_device(self.options.device), Monitor(context.progress, context.cancel)
        pipeline = context.models.build(bundle, device)
        parts = parts_of(bundle, gather(bundle, prepare(bundle, images).by_name), device, self.options)
        return tuple(layers(pipeline.network, prepared(bundle, pipeline, parts, len(parts) // 2, monitor)))
