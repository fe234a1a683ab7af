import math
from dataclasses import replace

import pytest

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ChangeOptions, InputSpec, NamedInput, Shard
from engine.jobs.submission import check_submission


def with_part(submission, **changes):
    return replace(submission, request=replace(submission.request, **changes))


def test_a_whole_run_and_its_shards_are_taken(submit, tmp_path):
    check_submission(submit())
    for shard in (None, Shard(1, 1), Shard(2, 2)):
        check_submission(with_part(submit(), work=str(tmp_path), shard=shard))


@pytest.mark.parametrize("shard", [Shard(0, 2), Shard(3, 2), Shard(1, 0), Shard(-1, -1)])
def test_a_shard_that_cannot_be_is_refused(submit, tmp_path, shard):
    with pytest.raises(EngineError) as caught:
        check_submission(with_part(submit(), work=str(tmp_path), shard=shard))
    assert caught.value.code is ErrorCode.REQUEST_INVALID


def test_a_shard_needs_a_folder_that_others_find(submit):
    with pytest.raises(EngineError, match="none is named"):
        check_submission(with_part(submit(), shard=Shard(1, 2)))


@pytest.mark.parametrize("work", ["blocks", "s3://bucket/blocks", ""])
def test_the_folder_of_the_blocks_is_an_absolute_path(submit, work):
    with pytest.raises(EngineError, match="not absolute"):
        check_submission(with_part(submit(), work=work))


def test_the_picture_to_look_for_is_an_absolute_path(submit):
    with pytest.raises(EngineError, match="not absolute"):
        check_submission(with_part(submit(), query="object.png"))


def test_further_inputs_are_absolute_paths_too(submit):
    others = (NamedInput("after", InputSpec(("july.tif",))),)
    with pytest.raises(EngineError, match="not absolute"):
        check_submission(with_part(submit(), others=others))


@pytest.mark.parametrize(
    "options",
    [
        ChangeOptions(false_alarm=0.0),
        ChangeOptions(false_alarm=1.0),
        ChangeOptions(false_alarm=math.nan),
        ChangeOptions(threshold=0.0),
        ChangeOptions(threshold=math.inf),
        ChangeOptions(threshold=math.nan),
    ],
)
def test_where_change_begins_must_be_a_place(submit, options):
    with pytest.raises(EngineError) as caught:
        check_submission(with_part(submit(), change=options))
    assert caught.value.code is ErrorCode.REQUEST_INVALID


def test_a_scene_is_moved_by_numbers_only(submit):
    spec = replace(submit().request.input, offset=(math.nan, 0.0))
    with pytest.raises(EngineError, match="cannot be moved"):
        check_submission(with_part(submit(), input=spec))


@pytest.mark.parametrize("device", ["foo", "CUDA", "cuda:one"])
def test_a_word_that_is_no_device_is_refused_at_once(submit, device):
    with pytest.raises(EngineError) as caught:
        check_submission(submit(device=device))
    assert caught.value.code is ErrorCode.DEVICE_UNAVAILABLE
    assert device in caught.value.message


def test_change_begins_at_one_place(submit):
    options = ChangeOptions(false_alarm=0.01, threshold=4.0)
    with pytest.raises(EngineError, match="different things"):
        check_submission(with_part(submit(), change=options))
