"""Whatever happens to a job in whatever order, its story stays consistent."""

import itertools
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.events import EventKind
from engine.contract.messages import (
    InputSpec,
    JobState,
    OutputSpec,
    SegmentRequest,
    Submission,
    TaskName,
)
from engine.jobs.processes import ProcessMark, this_process
from engine.jobs.states import ALLOWED
from engine.jobs.store import JobStore

REQUEST = SegmentRequest(InputSpec(("/a.tif",)), OutputSpec("/b.tif"))
SUBMISSION = Submission(TaskName.SEGMENT, REQUEST)
NOBODY = ProcessMark(2**22 + 1, 0.0)


class Life(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.folder = tempfile.TemporaryDirectory()
        self.store = JobStore(Path(self.folder.name))
        self.refusals, self.unchanged = set(), True
        self.job_id = self.store.create(SUBMISSION).id

    def attempt(self, call, *args):
        before = self.store.get(self.job_id)
        try:
            call(self.job_id, *args)
        except EngineError as error:
            self.refusals.add(error.code)
            self.unchanged = self.store.get(self.job_id) == before

    @rule(mark=st.sampled_from([NOBODY, this_process()]))
    def claim(self, mark):
        self.attempt(self.store.claim, mark)

    @rule(state=st.sampled_from(JobState))
    def finish(self, state):
        self.attempt(self.store.finish, state)

    @rule()
    def cancel(self):
        self.attempt(self.store.request_cancel)

    @rule()
    def resume(self):
        self.attempt(self.store.requeue)

    @rule()
    def look_after(self):
        self.store.mark_interrupted()
        assert self.store.mark_interrupted() == ()

    @rule(done=st.integers(0, 9))
    def tell(self, done):
        fields = {"stage": "s", "done": done, "total": 9, "unit": "tiles"}
        self.store.append(self.job_id, EventKind.PROGRESS, **fields)

    @invariant()
    def a_refusal_changes_nothing(self):
        assert self.refusals <= {ErrorCode.JOB_STATE}
        assert self.unchanged

    @invariant()
    def the_story_is_whole(self):
        job, page = self.store.get(self.job_id), self.store.events(self.job_id, limit=10_000)
        assert [e.seq for e in page.events] == list(range(1, job.last_seq + 1))
        states = [e.state for e in page.events if e.kind is EventKind.STATE]
        assert states[-1] is job.state is page.state
        assert all(new in ALLOWED[old] for old, new in itertools.pairwise(states))
        assert (job.ended is not None) == job.state.is_final

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
