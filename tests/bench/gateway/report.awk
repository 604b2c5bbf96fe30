# The table of run.sh. A line of its input: payload kind connections server requests duration_us p50_us p99_us errors cpu_us rss_mib
# upstream_cpu_us
function median(list,   values, count, i, j, value) {
  count = split(list, values, " ")
  for (i = 2; i <= count; ++i) {
    value = values[i] + 0
    for (j = i - 1; j > 0 && values[j] + 0 > value; --j) values[j + 1] = values[j]
    values[j + 1] = value
  }
  return count % 2 ? values[(count + 1) / 2] : (values[count / 2] + values[count / 2 + 1]) / 2
}
function ratio(value, other) { return other > 0 ? sprintf("%.2f", value / other) : "-" }
function aim(what, value, is_met, bound) { missed += !is_met; print (is_met ? "PASS" : "FAIL") "  " what ": " value " (aim: " bound ")" }

{
  group = $1 " " $2 " " $3
  if (!(group in servers)) order[++groups] = group
  key = group " " $4
  if (!(key in rate)) servers[group] = servers[group] " " $4
  rate[key] = rate[key] " " $5 / ($6 / 1e6)
  p50[key] = p50[key] " " $7 / 1000
  p99[key] = p99[key] " " $8 / 1000
  cpu[key] = cpu[key] " " ($5 > 0 ? $10 / $5 : 0)
  rss[key] = rss[key] " " $11
  upstream[key] = upstream[key] " " 100 * $12 / $6
  errors[key] += $9
}

END {
  for (g = 1; g <= groups; ++g) {
    group = order[g]
    split(group, part, " ")
    printf "\n%s, %s, %s connection(s)\n", part[1], part[2], part[3]
    printf "%-12s %9s %9s %9s %11s %8s %7s %10s | %9s %10s %10s\n", "server", "req/s", "p50 ms", "p99 ms", "CPU us/req", "RSS MiB", "errors",
      "upstream %", "CPU/nginx", "rate/nginx", "rate/naive"
    count = split(servers[group], names, " ")
    nginx = group " " names[1]
    naive = group " naive"
    for (i = 1; i <= count; ++i) {
      key = group " " names[i]
      printf "%-12s %9.0f %9.2f %9.2f %11.1f %8.1f %7d %10.0f | %9s %10s %10s\n", names[i], median(rate[key]), median(p50[key]), median(p99[key]),
        median(cpu[key]), median(rss[key]), errors[key], median(upstream[key]), ratio(median(cpu[key]), median(cpu[nginx])),
        ratio(median(rate[key]), median(rate[nginx])), ratio(median(rate[key]), median(rate[naive]))
    }
  }
  print ""
  for (g = 1; g <= groups; ++g) {
    group = order[g]
    key = group " ecso"
    if (!(key in rate)) continue
    split(servers[group], names, " ")
    most = group ~ /^text/ ? 2 : 1
    value = ratio(median(cpu[key]), median(cpu[group " " names[1]]))
    aim(group ": CPU a request / " names[1], value, value + 0 <= most, "<= " most)
    value = ratio(median(rate[key]), median(rate[group " naive"]))
    aim(group ": requests a second / naive", value, value == "-" || value + 0 >= 10, ">= 10")
    if (group ~ / 64$/) aim(group ": RSS MiB", sprintf("%.1f", median(rss[key])), median(rss[key]) < 64, "< 64")
    if (errors[key] > 0) aim(group ": errors", errors[key], 0, "0")
  }
  exit missed > 0
}
