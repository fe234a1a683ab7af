"""What the algorithm's dialog tells a newcomer."""

from html import escape
from typing import Sequence

from ..catalogue import CardChoice

INTRODUCTION = """
<p>Gives every pixel of a raster one class, as a trained model sees it: for instance <b>clear</b>,
<b>cloud</b> or <b>shadow</b>. The raster may be of any size; it is read in tiles that leave no
seams.</p>
<p><b>Quick start:</b> choose a raster layer, leave everything else as it is, press Run. The result
is loaded as a styled layer with a legend, in a group of its own.</p>
<h3>Inputs</h3>
<p><b>Raster layer</b>: a file that QGIS has open. The bands are recognised by their descriptions
or by the product's metadata; otherwise name them under <i>Bands by role</i>.</p>
<p><b>Model</b>: <i>auto</i> takes the best model for the bands that the raster has. A model's
weights are fetched when it is used for the first time, or ahead of that by the algorithm
<i>Install model</i>.</p>
<p><b>Extent</b> and <b>Only inside these polygons</b> limit the work to a part of the raster. With
<i>selected features only</i> just the selected polygons count.</p>
<p><b>Input profile</b>: models need physical numbers, such as reflectance from 0 to 1, and files
often hold scaled integers. <i>auto</i> reads the scaling from the metadata and stops with the
reason rather than guess. What is applied stands in the log before the run begins.</p>
<h3>Outputs</h3>
<p><b>Classes</b>: a cloud-optimised GeoTIFF on exactly the pixels of the raster. Beside it lie its
style, a table of areas and a STAC item that tells how it was made.</p>
<p><b>Polygons</b>: a GeoPackage with class, area on the ellipsoid and mean confidence.</p>
<p><b>Class probabilities</b>: one band a class.</p>
<p><b>Report</b>: a page with pictures, areas, what is known of the model, and how it was made; it
needs no network, and opens in the Results Viewer or a browser.</p>
<p>Cancel stops within seconds and leaves no half-written file. The computing is done by the Swath
engine, a program of its own on this computer; no pixel leaves it.</p>
"""


APPLYING = """
<p>Runs a model on one raster layer or on several, whatever it looks at and gives: two dates, a
series of dates, an earlier map; classes, continuous values such as height or biomass, embeddings,
labels of patches, finer pixels. The layers may be of any size; they are read in tiles that leave
no seams.</p>
<p><b>Quick start:</b> choose the first layer (of two dates, the earlier one), choose the model or
its card from a file, choose the second layer under <i>Further layers</i>, press Run.</p>
<h3>Inputs</h3>
<p><b>Raster layer</b> is the model's first input. The result lies on its pixels.</p>
<p><b>Model</b>: one of those below, among them those that <i>swath models add</i> has made
known. <b>Model or card from a file</b> stands for it: a card (.json), or a model with its card
beside it. ONNX files with the metadata of the plugin Deepness need no card.</p>
<p><b>Further layers</b>: the model's other inputs, in the order that its card has them. They may
have other pixels and another CRS: they are brought to the first layer's pixels.</p>
<p><b>Names of the further layers</b>: in the layers' order, with commas between. Empty, the model's
card tells them wherever only one way is open, and the log says what was found. Otherwise write
<code>after, prior</code>, for instance. A date may follow, <code>image@2024-07-31</code>, or stand
alone, <code>@2024-07-31</code>: models of series need dates where neither the layer (its
<i>Temporal</i> properties) nor the file tells them.</p>
<p><b>Input profile</b>: models need physical numbers, such as reflectance from 0 to 1. It holds for
all layers, unless <i>Input profiles of the further layers</i> has others, with semicolons between:
<code>reflectance; raw</code>. An earlier map of classes is <code>raw</code>.</p>
<p><b>Extent</b> and <b>Only inside these polygons</b> limit the work to a part of the first
raster.</p>
<h3>Outputs</h3>
<p><b>Result</b>: a cloud-optimised GeoTIFF with its style: classes with their legend, or values on
a colour ramp with one band a value. <b>Polygons</b> and <b>Class probabilities</b> are for models
that give classes. <b>Report</b>: a page with pictures, areas or the spread of the values, what is
known of the model, and how it was made.</p>
<p>Cancel stops within seconds and leaves no half-written file. The computing is done by the Swath
engine, a program of its own on this computer; no pixel leaves it.</p>
"""


CHANGING = """
<p>Finds what differs between two dates of one place, pixel by pixel: in optical or radar images,
with statistics of these two images alone, or with a model that was trained for it. The layers may
be of any size; the result lies on the pixels of the layer before.</p>
<p><b>No method knows what kind of change it is.</b> Harvest, floods, new buildings, clouds,
shadows, snow and another season are all change. Choose two dates of one season, and look at
the result: <i>Flicker before/after</i> in Swath's toolbar shows the two dates in turn.</p>
<p><b>Quick start:</b> choose the layer before and the layer after, leave everything else as it is,
press Run.</p>
<h3>Methods</h3>
<p><b>irmad</b> for optical images, with any number of bands: what both dates have in common, also
another light, haze or another sensor's calibration, is learned from the pixels that did not change
and taken away. The first choice.</p>
<p><b>cva</b> for optical images of one sensor and like light: the length of the differences of all
bands, less what is usual in this pair. Simpler; another contrast, such as haze, counts as
change.</p>
<p><b>logratio</b> for radar (SAR) backscatter, in decibel or in power: the ratio of both dates,
averaged over seven pixels against speckle. The result says where backscatter rose and where it
fell. <i>Further dates</i> of the same place leave less noise where some pixels are much brighter
than their neighbours, as in towns; they are not compared themselves.</p>
<p><b>flood</b> for radar (VV and VH) before and after: the model <i>flood</i> looks for water at
each date. New water where the backscatter fell by 3 dB or more is <b>flooded</b>; the other classes
are <b>permanent water</b>, <b>receded water</b> and <b>dry</b>. <i>Where change begins instead</i>
is that fall in dB. Water under trees or among houses is not seen.</p>
<p><b>embedding</b>: an encoder, a network that turns a place and its surroundings into numbers that
tell what is there, looks at both dates; change is where these numbers differ more than is usual.
Light and season move them less than single bands. The result comes in patches as large as the
encoder's. The encoder is chosen under <i>Model</i>; otherwise the one that fits the bands is taken.
Some are told the month: give a date where the layers tell none.</p>
<p><b>classes</b> for two class maps, such as land cover of two years: which class became which, as
far as the maps are right. The share below and moving are not for it. With a <b>model</b> of one
date that gives classes, two images are classified first; the classes of both come as layers
too.</p>
<p><b>model</b>: a model of two dates, chosen under <i>Model</i> or from a file with its card. It
may know a kind of change: its card says which. A model of semantic change gives the classes of both
dates and what became what.</p>
<h3>How much is change</h3>
<p><b>Tolerated share of false alarms</b>: which share of the unchanged pixels may be taken for
change, such as 0.001. A larger share finds more and errs more. Empty means automatic: change begins
where the statistic falls into two groups (Otsu's rule), and where it does not, at a share of 0.001.
<i>Where change begins instead</i> goes before both. The log says which value was taken, and
why.</p>
<p><b>Move the layer after onto the layer before</b>: for images that lie a few pixels or parts of
one off each other; it stops with the reason where no such shift can be told. The log warns of a
shift that was not asked to be moved.</p>
<p><b>Leave out clouds and their shadows</b>: finds them at both dates first, with a cloud model
that fits the bands, and gives no result below them. It needs such a model installed; the log says
which one, and how much was left out.</p>
<p><b>Dates</b>: those of the layers' <i>Temporal</i> properties where they have them, or as typed.
With them, order and seasons are checked.</p>
<p><b>Input profile</b>: what the stored numbers mean, of both layers unless the layer after has its
own. irmad and cva compare numbers whose meaning nobody knows as they are; logratio asks for
<i>decibel</i> or <i>power</i>.</p>
<h3>Outputs</h3>
<p><b>Change</b>: a cloud-optimised GeoTIFF with the classes change and no change (which is
see-through), its style, a table of areas and a STAC item. <b>Polygons</b>: of the changed places
alone, with area, mean probability, dates, and the classes before and after where there are
any. <b>Class probabilities</b>: one band a class.</p>
<p><b>Report</b>: a page with both dates and the change side by side, areas, whether the dates can
be compared, and how it was made; it needs no network, and opens in the Results Viewer or a
browser.</p>
<p>Cancel stops within seconds and leaves no half-written file. The computing is done by the Swath
engine, a program of its own on this computer; no pixel leaves it.</p>
"""


UPDATING = """
<p>Brings a map of objects, such as outlines of buildings, up to date with a later image: a model
marks the objects in the image, and each of them is compared with the map. The result is one layer
in which every object has a status.</p>
<p><b>Quick start:</b> choose the map and the image, choose the model, press Run.</p>
<h3>Statuses</h3>
<p><b>kept</b>: the same object: what both outlines share is at least half of what they cover
together (<i>intersection over union</i>), or as much as is asked for. <b>reshaped</b>: there, with
another outline.
<b>split</b>: several parts of an old object. <b>merged</b>: one object of several old ones.
<b>new</b> and <b>gone</b>: of one side only. <b>unseen</b>: an old object of which less than half
has data in the image. <b>outside</b>: an old object that is not found and lies at least partly
outside of the image, the extent or the polygons.</p>
<p><b>Look before you delete.</b> What the model overlooks is <i>gone</i>, what it takes for an
object is <i>new</i>, and houses that touch each other are <i>merged</i>. An image that lies off the
map makes kept objects reshaped: compare <code>shift_m</code>.</p>
<h3>Inputs</h3>
<p><b>Map</b>: polygons in a file, in any CRS; the result keeps that CRS. <b>Field of the map with
its classes</b> is copied to the result.</p>
<p><b>Smallest polygon kept</b> is for the objects of the image: old objects below it are gone, too,
when it leaves their successors out.</p>
<p><b>Objects that are the same keep their old outline</b>: otherwise they get the new one. Objects
that the image shows in part always keep theirs.</p>
<h3>Outputs</h3>
<p><b>Updated map</b>: a GeoPackage with its style; fields are status, ids, classes, IoU, share
seen, the model's confidence, areas on the ellipsoid, the shift of the centroid and both dates.
Beside it lie a table of counts and areas by status and a STAC item.</p>
<p>Cancel stops within seconds and leaves no half-written file. The computing is done by the Swath
engine, a program of its own on this computer; no pixel leaves it.</p>
"""


INSTALLING = """
<p>Fetches the weights of a model from where its authors publish them, checks them against the
digest in the model's card, and keeps them for all later runs: once for each model, for instance
before going where there is no network. Otherwise they are fetched when the model is first used.
Proxy and package index settings of this computer apply.</p>
<p><b>I accept the model's licence</b>: needed once, and only for models whose licence asks for more
than naming its authors, such as no commercial use. The licences stand below.</p>
"""


def segment_help(cards: Sequence[CardChoice]) -> str:
    """The introduction and the models to choose from."""
    return _one_line(f"{INTRODUCTION}{_models(cards)}")


def apply_help(cards: Sequence[CardChoice]) -> str:
    """How to apply a model of several inputs, and the models to choose from."""
    return _one_line(f"{APPLYING}{_models(cards)}")


def change_help(cards: Sequence[CardChoice]) -> str:
    """What each way to find changes is for, and the models to choose from."""
    return _one_line(f"{CHANGING}{_models(cards) if cards else ''}")


def update_help(cards: Sequence[CardChoice]) -> str:
    """What the statuses mean, and the models to choose from."""
    return _one_line(f"{UPDATING}{_models(cards)}")


def models_help(cards: Sequence[CardChoice]) -> str:
    """What installing means, and the models."""
    return _one_line(f"{INSTALLING}{_models(cards)}")


def _one_line(html: str) -> str:
    """QGIS shows every line break of a help text, also those inside of a paragraph."""
    return " ".join(html.split())


def _models(cards: Sequence[CardChoice]) -> str:
    return "<h3>Models</h3>" + "".join(_model_entry(card) for card in cards)


def _model_entry(card: CardChoice) -> str:
    return (
        f"<p><b>{escape(card.id)}</b>: {escape(card.summary)} "
        f"Bands: {escape(', '.join(card.bands))}. Best near {card.gsd:g} m. "
        f"Licence: {escape(card.license)}.</p>"
    )
