"""The checks that ops evaluate, declared so that the asset graph shows them."""

# No "from __future__ import annotations": Dagster compares the annotation of `context` itself.

from collections.abc import Iterable, Iterator, Sequence

import dagster as dg

from jobu_core.pipeline.datasets import Dataset


def build_checks(datasets: Iterable[Dataset]) -> Sequence[dg.AssetChecksDefinition]:
    """Declare the checks that the ops evaluate; undeclared ones would not be shown.

    Run from the UI, a check repeats the last evaluation, because only a load can
    make a new one.
    """
    declared = {
        (asset.key, name): dg.AssetCheckSpec(name, asset=dg.AssetKey(list(asset.key)))
        for dataset in datasets
        for asset in dataset.assets
        for name in asset.checks
    }
    if not declared:
        return []
    specs = list(declared.values())

    @dg.multi_asset_check(name="last_evaluations", specs=specs, can_subset=True)
    def last_evaluations(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        for key in sorted(context.selected_asset_check_keys):
            yield _last(context.instance, key)

    return [last_evaluations]


def _last(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> dg.AssetCheckResult:
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    entry = records[0].event if records else None
    event = entry.dagster_event if entry is not None else None
    if event is None:
        said = {"jobu": "not evaluated yet; the next load does"}
        return dg.AssetCheckResult(
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            asset_key=key.asset_key,
            check_name=key.name,
            metadata=said,
        )
    found = event.asset_check_evaluation_data
    return dg.AssetCheckResult(
        passed=found.passed,
        asset_key=key.asset_key,
        check_name=key.name,
        metadata=found.metadata,
    )
