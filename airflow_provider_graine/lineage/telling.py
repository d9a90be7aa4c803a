"""The base of operators that say what they have read and written."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow_provider_graine.lineage.data import TaskLineage


class TellsLineage(BaseOperator):
    """
    Tells, when the task has succeeded, its outlets and Airflow's collector what it has read and written.

    OpenLineage asks for itself, where its provider is installed, of failed tasks too. Nobody is told anything where
    nobody listens, no request is sent for it, and an error on the way is no error of the task.
    """

    @abstractmethod
    def lineage(self, ti: Any) -> TaskLineage:
        """
        Return what has been read and written so far.

        :param ti: the task instance, for what an earlier process of this try has left behind
        """

    def post_execute(self, context: Any, result: Any = None) -> None:
        """Tell the outlets and the collector; Airflow calls this after ``execute``, or after what a deferral led to."""
        super().post_execute(context, result)
        self._carefully(lambda: self._tell_outlets(context))
        self._carefully(lambda: self._tell_collector(context))

    def _tell_outlets(self, context: Any) -> None:
        if self.outlets:
            from airflow_provider_graine.lineage.outlets import tell_outlets

            tell_outlets(self.outlets, context["outlet_events"], self.lineage(context["ti"]))

    def _tell_collector(self, context: Any) -> None:
        from airflow_provider_graine.lineage.collector import has_readers, tell_collector

        if has_readers():
            tell_collector(self.lineage(context["ti"]))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what OpenLineage is told of the task; its provider calls this."""
        return self._carefully(lambda: self._openlineage(task_instance))

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """Return what OpenLineage is told of a task that has failed: what it had read and written by then."""
        return self._carefully(lambda: self._openlineage(task_instance))

    def _openlineage(self, task_instance: Any) -> Any:
        from airflow_provider_graine.lineage.openlineage import operator_lineage

        return operator_lineage(self.lineage(task_instance))

    def _carefully(self, tell: Callable[[], Any]) -> Any:
        try:
            return tell()
        except Exception as error:  # the calls were made all the same
            self.log.debug("Lineage could not be told (%s)", type(error).__name__)
            return None
