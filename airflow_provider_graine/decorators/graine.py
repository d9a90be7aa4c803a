"""``@task.graine_batch``: a function gives the people, the task has them called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import DecoratedOperator, determine_kwargs, task_decorator_factory

from airflow_provider_graine.exceptions import SourceError
from airflow_provider_graine.operators.graine_upload import GraineUploadOperator

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.bases.decorator import TaskDecorator

    from airflow_provider_graine.contacts.contact_list import ContactList

__all__ = ["GraineBatchDecoratedOperator", "graine_batch_task"]


class GraineBatchDecoratedOperator(DecoratedOperator, GraineUploadOperator):
    """
    Have the people called that a function returns or yields; what ``@task.graine_batch`` makes.

    The function gives people as :class:`~airflow_provider_graine.operators.graine.GraineCreateBatchOperator` takes
    them, each ``{"phone_number": …, "callee_name": …, <call variable>: …}`` or in the service's own form. What it
    yields is taken as it comes and goes into no XCom. A retry calls it again: it need not give the same people in the
    same order, those on a batch of the run already are not sent again.

    Everything else is as in :class:`~airflow_provider_graine.operators.graine_upload.GraineUploadOperator`, whose
    arguments the decorator takes.

    :param python_callable: the function; a plain one, not ``async``
    :param op_args: its positional arguments (templated)
    :param op_kwargs: its keyword arguments (templated). Rendered fields are stored and shown: no place for people
    :return: the list of batch ids
    :raises SourceError: when the function returns something else than a series of people; nothing was sent
    """

    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, *GraineUploadOperator.template_fields)
    custom_operator_name = "@task.graine_batch"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Iterable[Mapping[str, Any]]],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if inspect.iscoroutinefunction(python_callable) or inspect.isasyncgenfunction(python_callable):
            raise TypeError("@task.graine_batch takes a plain function that returns or yields people, not an async one")
        kwargs.pop("multiple_outputs", None)
        super().__init__(python_callable=python_callable, op_args=op_args, op_kwargs=op_kwargs, **kwargs)

    def load(self, contacts: ContactList, context: Context) -> None:
        """Call the function and take what it gives, one after the other."""
        kwargs = determine_kwargs(self.python_callable, self.op_args, {**context, **self.op_kwargs})
        people = self.python_callable(*self.op_args, **kwargs)
        contacts.add_rows(_several(people), origin=self.python_callable.__name__)


def _several(people: Any) -> Iterable[Mapping[str, Any]]:
    """Return the people as they are; what of them is no mapping is screened out as ``malformed_row``."""
    if isinstance(people, Iterable) and not isinstance(people, Mapping | str | bytes):
        return people
    raise SourceError(
        f"The function returned {type(people).__name__}; it has to return or yield people, each a mapping. "
        "Nothing was sent."
    )


def graine_batch_task(
    python_callable: Callable[..., Iterable[Mapping[str, Any]]] | None = None, **kwargs: Any
) -> TaskDecorator:
    """
    Turn a function that returns or yields people into a task that has them called: ``@task.graine_batch(…)``.

    :param python_callable: the function
    :param kwargs: arguments of :class:`GraineBatchDecoratedOperator`; ``campaign_id`` at least
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=False,
        decorated_operator_class=GraineBatchDecoratedOperator,
        **kwargs,
    )
