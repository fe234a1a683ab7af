"""What the dialogs of the algorithms on finished maps tell a newcomer."""

ASSESSING = """
<p>Compares a map with what is true at some places, and tells how good it is.</p>
<p><b>Maps of classes</b>: user's and producer's accuracy, F1 and IoU of every class with 95 %
intervals, the confusion matrix, and areas corrected for the map's errors (stratified estimation,
Olofsson et al. 2014). For corrected areas the points must have been drawn at random within the
map's classes, as <i>Draw a sample to check a map</i> does.</p>
<p><b>Maps of amounts</b>, such as biomass: RMSE, bias and R² with intervals, by ranges of the
amount, and whether the map's own deviations hold what they promise.</p>
<p>The <b>field</b> holds class names or numbers; leave it empty where nobody knows. Polygons count
once each, whatever their size.</p>
<p>The report is one page with tables beside it (CSV).</p>
"""

SAMPLING = """
<p>Draws points at random within the classes of a map: a stratified random sample. Look at each
point (in finer imagery, or in the field), write what is there into the field <i>true_class</i>, and
run <i>Assess a map's accuracy</i> with <i>stratum</i> as the field of the classes that points were
drawn in.</p>
<p>Without a number of points, as many are drawn as the standard error that is aimed at needs
(Cochran 1977), and at least so many in every class as asked. The same seed draws the same
points.</p>
"""

BIOMASS = """
<p>Makes a map of above-ground biomass (Mg/ha) and its standard deviation of a canopy height model,
with a formula for whole plots: heights are averaged over plots first, then the formula is
applied.</p>
<p>Formulas: <b>asner-mascaro-2014</b> (tropical forests, 1 ha plots), <b>longo-2016</b> (Brazilian
Amazon, 0.25 ha plots), or <b>power</b>, your own. A formula from elsewhere can be far off in your
forest: check it against plots of your own (<i>Assess a map's accuracy</i>), or fit one
(<i>Calibrate</i>).</p>
<p>The raster must be in metres, in a CRS in metres. Deviations come from the formula's published
error and from the error of heights that you state, by Monte Carlo; they do not hold the error of
using a formula where it was not made for.</p>
"""

TOTALLING = """
<p>Adds a map of amounts per hectare up in polygons: area, mean, total, carbon and CO₂ equivalent,
with standard errors and 95 % intervals. Pixels on a polygon's edge count by the share of them that
it covers.</p>
<p>Errors of neighbouring pixels resemble each other, so they do not average out as independent ones
would. The <b>distance within which errors resemble each other</b> is taken from the map's file
where it was calibrated with Swath; otherwise give the range of the residuals' variogram.</p>
<p>With <b>plots</b> that were drawn at random over the polygons, the total is also corrected by
them (model-assisted estimation), with an interval that does not depend on the map's own errors.</p>
"""

CALIBRATING = """
<p>Fits a model to what was found on plots, from rasters that cover them: biomass or another amount,
or classes such as land cover. The result is a model card; <i>Apply a model</i> makes maps with it,
of amounts in three bands: the amount, its standard deviation, and the dissimilarity.</p>
<p>Plots are polygons, points with a radius, or the pixel below each point; rasters are averaged
over them by exact coverage. A model of amounts needs 20 plots at least, better 100. The map is made
at the plots' size where they are larger than pixels.</p>
<p><b>How good it is</b> is found by spatial cross-validation: whole blocks of ground (or the groups
of a field) are held out, so that no plot is judged by its neighbours. 90 % intervals come from
those errors (conformal prediction).</p>
<p><b>Where it may be used</b>: the dissimilarity tells how unlike the plots a place is (Meyer and
Pebesma 2021); above 1 the model was never checked.</p>
<p>Take <b>forest</b> first; <b>ridge</b> often does better with few plots and metrics of heights.
Errors of the plots, where a field tells them, make uncertain plots count less.</p>
"""
