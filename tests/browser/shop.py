"""A small seeded shop: some weeks of history, and payments that stand out."""

import itertools
import random
import time

DAY_MS = 86_400_000
CUSTOMERS = [f"{name}.{family}" for name in ("anna", "bela", "chloe", "daniel", "emre", "farah", "greta", "hugo")
             for family in ("berg", "costa", "diaz", "ito", "khan", "moreau", "novak", "stein")]
ITEMS = ["ground coffee 1 kg", "espresso beans 500 g", "oat milk", "paper filters", "green tea", "honey",
         "rye bread", "dark chocolate", "olive oil", "sea salt", "descaler", "travel mug"]
TERMINALS = [f"till-{number}" for number in range(1, 9)] + ["web-checkout"]


class Shop:
    def __init__(self, service, seed=1):
        self._service, self._random, self._number = service, random.Random(seed), itertools.count()

    def payment(self, customer, euros, terminal=None, instrument=None, time_ms=None, item="gift card"):
        number = next(self._number)
        return {
            "type": "purchase", "event_id": f"p{number}", "order": f"A-{10_000 + number}", "customer": customer,
            "time_ms": time_ms or int(time.time() * 1000), "currency": "EUR", "terminal": terminal,
            "instrument": instrument, "lines": [{"item": item, "quantity": 1, "unit_price_minor": round(100 * euros)}],
        }

    def pay(self, *args, **kwargs):
        payment = self.payment(*args, **kwargs)
        self._service.send([payment])
        return payment

    def history(self, days=45, payments=14):
        """Every customer pays about as much each time, at some terminals, with one card, and looks around before."""
        now_ms, events = int(time.time() * 1000), []
        for place, customer in enumerate(CUSTOMERS):
            usual = self._random.uniform(9, 40)
            taste = [ITEMS[(place + step) % len(ITEMS)] for step in (0, 1, 5)]
            for number in range(payments):
                share = (number + self._random.random()) / payments
                time_ms = now_ms - DAY_MS // 12 - int((1 - share) * days * DAY_MS)
                item = taste[number % 3]
                looked = {"type": "engagement", "kind": "view", "event_id": f"v{place}-{number}", "customer": customer,
                          "time_ms": time_ms - 60_000, "item": item, "session": f"s{place}-{number}"}
                events += [looked, self.payment(
                    customer, usual * self._random.lognormvariate(0, 0.25), self._random.choice(TERMINALS),
                    f"card-{place:03}", time_ms, item)]
        self._service.send(sorted(events, key=lambda event: event["time_ms"]))

    def stands_out(self, customer, terminal="web-checkout", **more):
        """A payment that raises an alert."""
        return self.pay(customer, self._random.uniform(900, 2400), terminal, f"card-{CUSTOMERS.index(customer):03}", **more)
