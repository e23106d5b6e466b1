"""``pipeline validate --self-test``: a test of the validator itself."""

from pipeline.errors import ParityError


def self_test(honest: int, as_json: bool) -> None:
    """Plant every fault, try ``honest`` random models without faults, and print the outcomes.

    Raises:
        ParityError: a fault was missed, or a model without faults failed.
    """
    from pipeline.report.output import console, finish
    from pipeline.report.validation_tables import fault_table
    from pipeline.validate.self_test import honest_models, planted_faults

    with console().status("exporting") as status:
        outcomes = [*planted_faults(status.update), *honest_models(honest, status.update)]
    planted = [item for item in outcomes if item.status in ("caught", "missed")]
    missed = [item for item in planted if item.status == "missed"]
    honest_ones = [item for item in outcomes if item.status in ("passed", "false alarm")]
    alarms = [item for item in honest_ones if item.status == "false alarm"]
    kinds = len({item.fault for item in planted})
    finish(
        as_json,
        [item.model_dump(mode="json") for item in outcomes],
        [fault_table(outcomes)],
        notes=[
            f"caught {len(planted) - len(missed)} of {len(planted)} planted faults "
            f"of {kinds} kinds; {len(alarms)} false alarms on {len(honest_ones)} honest models",
            *(f"missed: {item.fault} in {item.model}" for item in missed),
            *(f"false alarm: {item.model}: {item.reason}" for item in alarms),
        ],
    )
    if missed or alarms:
        raise ParityError(
            f"the validator missed {len(missed)} faults and raised {len(alarms)} false alarms"
        )
