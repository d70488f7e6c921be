"""What a plant has started is gone when it stops, whoever is waiting for it."""

import threading
import time
from types import SimpleNamespace
from typing import cast

import pytest

from tests.app.services.server import DeadError, free_port
from tests.bench.plant import Plant, Process


@pytest.mark.services
def test_a_driver_of_another_thread_ends_with_its_plant() -> None:
    plant = Plant(print)
    plant.api = cast("Process", SimpleNamespace(port=free_port(), cpu=0.0, memory=(0.0, 0.0)))
    ended: list[DeadError] = []

    def drive() -> None:
        try:
            plant.drive(rate=1, seconds=600)
        except DeadError as error:
            ended.append(error)

    thread = threading.Thread(target=drive)
    thread.start()
    end = time.monotonic() + 30
    while not plant._drivers and time.monotonic() < end:
        time.sleep(0.01)
    plant.stop()
    thread.join(30)
    assert len(ended) == 1
    assert not plant._drivers
