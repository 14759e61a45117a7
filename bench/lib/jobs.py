"""`bench jobs`: jobs through a queue and back, closed and open loop; and short against long polling."""

import collections
import statistics

import generator
import servers
from tables import Table, clean, middle, number, ratio, spread, time_text

KINDS = (servers.Bide, servers.BideUnsynced, servers.Beanstalkd, servers.BeanstalkdMemory, servers.Redis, servers.RedisMemory,
         servers.Nats)

# (key, server, driver, label): who plays in which table.
DURABLE = (("bide", "bide", "bide", "bide"),
           ("beanstalkd", "beanstalkd", "beanstalkd", "beanstalkd `-b -f0`"),
           ("redis-list", "redis", "redis-list", "Redis lists, `appendfsync always`"),
           ("redis-stream", "redis", "redis-stream", "Redis streams, `appendfsync always`"),
           ("nats", "nats", "nats", "NATS JetStream (not synced)"))
UNSYNCED = (("bide", "bide-os", "bide", "bide `--sync=os`"),
            ("beanstalkd", "beanstalkd-memory", "beanstalkd", "beanstalkd in memory"),
            ("redis-list", "redis-memory", "redis-list", "Redis lists in memory"),
            ("redis-stream", "redis-memory", "redis-stream", "Redis streams in memory"))
MODES = (("serial", "one job under way", {}),
         ("wide", "64 clients and 64 workers, one job each", {"clients": 64, "workers": 64}),
         ("deep", "64 jobs under way, pipelined by one client and one worker", {"depth": 64}))
POLLING = (("short-1000", "short polling, each second", {"style": "short", "interval_ms": 1000}),
           ("short-100", "short polling, each 100 ms", {"style": "short", "interval_ms": 100}),
           ("long", "long polling (`?wait=30s`)", {"style": "long"}),
           ("submit", "the submit waits (`Prefer: wait`)", {"style": "submit"}))


class Plan:
    def __init__(self, quick, runs):
        self.runs = runs or (2 if quick else 5)
        self.duration_ms = 400 if quick else 1000
        self.plain_ms = 300 if quick else 700
        self.warmup_ms = 100 if quick else 200
        self.polling_ms = 1000 if quick else 2000
        self.polling_rate = 300


def rotate(items, by):
    items = list(items)
    by %= max(1, len(items))
    return items[by:] + items[:by]


def two_digits(value):
    """A rate that reads well."""
    step = 10 ** max(0, len(str(int(value))) - 2)
    return max(1, int(value) // step * step)


class Jobs:
    def __init__(self, plan, directory, kinds, say):
        self.plan = plan
        self.directory = directory
        self.kinds = kinds
        self.say = say
        self.running = {}
        # figures[table][mode][player][figure] = one value a run
        self.figures = collections.defaultdict(
            lambda: collections.defaultdict(lambda: collections.defaultdict(lambda: collections.defaultdict(list))))
        self.polling = collections.defaultdict(lambda: collections.defaultdict(list))
        self.common_rate = None
        self.own_rates = {}
        self.failures = []

    def run(self):
        for run in range(self.plan.runs):
            self.say(f"run {run + 1} of {self.plan.runs}")
            self.running = servers.start_all([kind for kind in KINDS if kind in self.kinds], self.directory, self.say if run == 0 else str)
            try:
                self.run_once(run)
            finally:
                for server in self.running.values():
                    server.stop()

    def players(self, table, run):
        return rotate([player for player in table if player[1] in self.running], run)

    def run_once(self, run):
        for mode, _, options in MODES:
            self.round("durable", mode, DURABLE, run, duration_ms=self.plan.duration_ms, **options)
        self.choose_rates()
        wide = dict(MODES[1][2])
        if self.common_rate:
            self.round("open", "common", DURABLE, run, duration_ms=self.plan.duration_ms, rate=self.common_rate, **wide)
        for player in [player for player in self.players(DURABLE, run) if player[0] in self.own_rates]:
            self.round("open", "half", (player,), run, duration_ms=self.plan.duration_ms, rate=self.own_rates[player[0]], **wide)
        for mode, _, options in MODES:
            self.round("unsynced", mode, UNSYNCED, run, duration_ms=self.plan.duration_ms, **options)
        for mode, _, options in MODES:
            self.round("plain-durable", mode, DURABLE, run, duration_ms=self.plan.plain_ms, plain=1, **options)
            self.round("plain-unsynced", mode, UNSYNCED, run, duration_ms=self.plan.plain_ms, plain=1, **options)
        if "bide" in self.running:
            for style, _, options in rotate(POLLING, run):
                self.poll(style, options)

    def choose_rates(self):
        """Rates of the open loop, from the first run's closed loop: half of each one's own, and half of the slowest's."""
        if self.common_rate:
            return
        for key, figures in self.figures["durable"]["wide"].items():
            if clean(figures["rate"]):
                self.own_rates[key] = two_digits(statistics.median(clean(figures["rate"])) / 2)
        if self.own_rates:
            self.common_rate = min(self.own_rates.values())

    def attempt(self, command, server, **options):
        """A measurement, or None with the reason noted: one that fails does not end the others."""
        try:
            return generator.measure(command, server, **options)
        except servers.Broken as broken:
            self.failures.append(str(broken))
            self.say(f"  FAILED: {broken}")
            return None

    def round(self, table, mode, players, run, **options):
        for key, server, driver, label in self.players(players, run):
            result = self.attempt("jobs", self.running[server], driver=driver, warmup_ms=self.plan.warmup_ms, **options)
            latency = result["latency"] if result else {}
            values = {"rate": result and result["jobs_per_second"], "cpu_us": result and result["cpu_us_per_job"],
                      "own_cpu_us": result and result["own_cpu_us_per_job"]}
            values.update({name: latency.get(name) for name in ("p50_us", "p99_us", "p999_us", "max_us")})
            for name, value in values.items():
                self.figures[table][mode][key][name].append(value)
            if result:
                self.say(f"  {table:14} {mode:7} {label.replace('`', ''):36} {values['rate']:8,.0f}/s  {values['cpu_us']:7.1f} µs CPU a job  "
                         f"p50 {latency.get('p50_us', 0):8.0f} µs  p99 {latency.get('p99_us', 0):8.0f} µs")

    def poll(self, style, options):
        result = self.attempt("polling", self.running["bide"], rate=self.plan.polling_rate, duration_ms=self.plan.polling_ms, **options)
        if not result:
            return
        figures = self.polling[style]
        figures["requests"].append(result["requests_per_result"])
        figures["bytes"].append(result["bytes_per_result"])
        figures["cpu_us"].append(result["cpu_us_per_result"])
        figures["p50_us"].append(result["delay"]["p50_us"])
        figures["p99_us"].append(result["delay"]["p99_us"])
        self.say(f"  polling        {style:10} {result['requests_per_result']:.2f} requests, {result['bytes_per_result']:.0f} B a result, "
                 f"known after p50 {result['delay']['p50_us'] / 1000:.2f} ms, p99 {result['delay']['p99_us'] / 1000:.2f} ms")

    # ---- tables ----

    def tables(self):
        made = [self.table_polling(), self.table_closed("durable", DURABLE, "Durable: submit → claim → done → the client has the result"),
                self.table_open(),
                self.table_closed("unsynced", UNSYNCED, "Not synced: submit → claim → done → the client has the result"),
                self.table_closed("plain-durable", DURABLE, "Durable, queue only: submit → claim → done acknowledged, no result"),
                self.table_closed("plain-unsynced", UNSYNCED, "Not synced, queue only: submit → claim → done acknowledged, no result")]
        return [table for table in made if table.rows]

    def table_closed(self, table_key, players, title):
        table = Table(title, ["", "jobs/s", "bide to it", "CPU a job", "to bide", "p50", "p99"])
        for mode, text, _ in MODES:
            by_player = self.figures[table_key][mode]
            bide = by_player["bide"] if "bide" in by_player else {}
            if by_player:
                table.section(text)
            for key, _, _, label in players:
                if key not in by_player:
                    continue
                figures = by_player[key]
                table.row(label, spread(figures["rate"]), ratio(bide.get("rate", []), figures["rate"]), spread(figures["cpu_us"], "µs"),
                          ratio(figures["cpu_us"], bide.get("cpu_us", [])), time_text(figures["p50_us"]), time_text(figures["p99_us"]))
        return table

    def table_open(self):
        table = Table("Durable, open loop, 64 clients and 64 workers: latency from the moment a job was due",
                      ["", "asked for", "done/s", "p50", "p99", "p99 to bide", "p99.9", "CPU a job"])
        for mode, text in (("common", "the same rate for all: half of what the slowest can"), ("half", "half of what each can")):
            by_player = self.figures["open"][mode]
            # At rates of their own they are not to be compared with each other.
            bide = by_player["bide"] if "bide" in by_player and mode == "common" else {}
            if by_player:
                table.section(text)
            for key, _, _, label in DURABLE:
                if key not in by_player:
                    continue
                figures = by_player[key]
                asked = self.common_rate if mode == "common" else self.own_rates[key]
                table.row(label, number(asked) + "/s", middle(figures["rate"]), spread(figures["p50_us"], "µs"), spread(figures["p99_us"], "µs"),
                          ratio(figures["p99_us"], bide.get("p99_us", [])), time_text(figures["p999_us"]), middle(figures["cpu_us"], "µs"))
        return table

    def table_polling(self):
        table = Table(f"The same jobs (50–500 ms each, {self.plan.polling_rate}/s), four ways to learn of the result",
                      ["", "requests a result", "bytes a result", "done → known, p50", "p99", "server CPU a result"])
        for style, label, _ in POLLING:
            figures = self.polling[style]
            if figures["requests"]:
                table.row(label, middle(figures["requests"]), middle(figures["bytes"]), time_text(figures["p50_us"]),
                          time_text(figures["p99_us"]), middle(figures["cpu_us"], "µs"))
        return table

    def seen(self):
        """Servers that took part."""
        return set(self.figures["durable"]["serial"])

    def results(self):
        return {"runs": self.plan.runs, "duration_ms": self.plan.duration_ms, "common_rate": self.common_rate, "own_rates": self.own_rates,
                "failures": self.failures, "jobs": self.figures, "polling": self.polling}
