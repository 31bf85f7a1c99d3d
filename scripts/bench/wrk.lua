-- What scripts/bench/measure.sh takes from a run of wrk: counts, and times in µs.
function done(summary, latency, _)
    local errors = summary.errors
    io.write(string.format(
        "wrk requests=%d took_us=%d bytes=%d connect=%d read=%d write=%d status=%d timeout=%d p50_us=%d p99_us=%d\n",
        summary.requests, summary.duration, summary.bytes,
        errors.connect, errors.read, errors.write, errors.status, errors.timeout,
        latency:percentile(50), latency:percentile(99)))
end
