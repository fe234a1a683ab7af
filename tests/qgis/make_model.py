"""Writes ``clouds_dissolved.model3``: ``swath:segment`` chained with ``native:dissolve``.

Run with QGIS' own Python from the checkout, when the algorithm's parameters have changed:

    scripts/link && QT_QPA_PLATFORM=offscreen /usr/bin/python3 tests/qgis/make_model.py

Use the oldest QGIS that the plugin supports: newer ones read its models, not the reverse.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "build" / "dev"), "/usr/share/qgis/python/plugins"]

from processing.core.Processing import Processing  # noqa: E402 - found through the line above
from qgis.core import (  # noqa: E402
    QgsApplication,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterRasterLayer,
)
from swath.plugin.processing.provider import SwathProvider  # noqa: E402

Source = QgsProcessingModelChildParameterSource


def add(model, algorithm, child_id, sources, outputs):
    """One step: its parameters' sources, and which of its outputs are the model's."""
    child = QgsProcessingModelChildAlgorithm(algorithm)
    child.setChildId(child_id)
    for name, source in sources.items():
        child.addParameterSources(name, [source])
    child.setModelOutputs({title: output(child_id, name, title) for title, name in outputs.items()})
    model.addChildAlgorithm(child)


def output(child_id, name, title):
    made = QgsProcessingModelOutput(title, title)
    made.setChildId(child_id)
    made.setChildOutputName(name)
    return made


def chain():
    """Scene in; class raster, and one feature for each class out."""
    model = QgsProcessingModelAlgorithm("Clouds, dissolved", "Swath")
    model.addModelParameter(
        QgsProcessingParameterRasterLayer("scene", "Scene"), QgsProcessingModelParameter("scene")
    )
    segment = {
        "INPUT": Source.fromModelParameter("scene"),
        "MODEL": Source.fromStaticValue("clouds-6band-l1c"),
        "PROFILE": Source.fromStaticValue("reflectance"),
    }
    add(model, "swath:segment", "segment", segment, {"Classes": "OUTPUT"})
    dissolve = {
        "INPUT": Source.fromChildOutput("segment", "VECTOR"),
        "FIELD": Source.fromStaticValue(["class_name"]),
    }
    add(model, "native:dissolve", "dissolve", dissolve, {"Dissolved": "OUTPUT"})
    return model


def main():
    application = QgsApplication([], False)  # noqa: FBT003 - Qt's signature
    application.initQgis()
    Processing.initialize()
    provider = SwathProvider()
    QgsApplication.processingRegistry().addProvider(provider)
    target = HERE / "clouds_dissolved.model3"
    if not chain().toFile(str(target)):
        sys.exit(f"{target} could not be written")
    sys.stdout.write(f"{target}\n")
    application.exitQgis()


if __name__ == "__main__":
    main()
