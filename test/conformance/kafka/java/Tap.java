// What is checked, one line each on stdout: `ok NAME`, `not ok NAME WHY`, `skip NAME WHY`. Each check has a deadline; behind it, it is
// interrupted, and the next one has its turn. Exit code: 0 when nothing was not ok.
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

final class Tap {
	static final int SECONDS = 60;

	interface Check {
		void run() throws Exception;
	}

	static final class Skip extends RuntimeException {
		Skip(String why) {
			super(why);
		}
	}

	private final Map<String, Check> checks = new LinkedHashMap<>();
	private final ExecutorService threads = Executors.newCachedThreadPool(work -> {
		Thread thread = new Thread(work);
		thread.setDaemon(true);
		return thread;
	});

	void check(String name, Check check) {
		checks.put(name, check);
	}

	// Those that are named; all: none is.
	boolean run(List<String> wanted) throws InterruptedException {
		boolean good = true;
		for (var entry : checks.entrySet()) {
			if (!wanted.isEmpty() && !wanted.contains(entry.getKey())) continue;
			String how = how(entry.getValue());
			good &= !how.startsWith("not ok");
			String[] parts = how.split("\n", 2);
			System.out.println(parts[0] + " " + entry.getKey() + (parts.length > 1 ? " " + parts[1].replaceAll("\\s+", " ") : ""));
		}
		return good;
	}

	private String how(Check check) throws InterruptedException {
		var running = threads.submit(() -> {
			check.run();
			return null;
		});
		try {
			running.get(SECONDS, TimeUnit.SECONDS);
			return "ok";
		} catch (TimeoutException e) {
			running.cancel(true);
			return "not ok\nnot within " + SECONDS + " s";
		} catch (ExecutionException e) {
			Throwable why = e.getCause();
			while (why instanceof ExecutionException) why = why.getCause();
			if (why instanceof Skip) return "skip\n" + why.getMessage();
			why.printStackTrace();
			return "not ok\n" + why;
		}
	}

	<T> java.util.concurrent.Future<T> beside(Callable<T> work) {
		return threads.submit(work);
	}

	static void that(boolean condition, String what) {
		if (!condition) throw new AssertionError(what);
	}

	static void equal(Object got, Object wanted, String what) {
		that(Objects.equals(got, wanted), what + ": " + shortly(got) + " instead of " + shortly(wanted));
	}

	private static String shortly(Object value) {
		String text = String.valueOf(value);
		return text.length() > 200 ? text.substring(0, 200) + "…" : text;
	}

	static <T> List<T> list(Iterable<T> all) {
		var list = new ArrayList<T>();
		all.forEach(list::add);
		return list;
	}
}
