# Turns samples into a Markdown table: awk [-v brief=1] -f table.awk rows.txt samples. Brief, as in the README: without
# raw limits, ranges and multiples. A sample is a line "PROGRAM ROUND ROW VALUE".
# Each figure is the median of its samples; what is divided by malloc+free is so in its own round.

function median(list, count,    i, j, value) {
    for (i = 2; i <= count; i++) {
        value = list[i]
        for (j = i; j > 1 && list[j - 1] > value; j--)
            list[j] = list[j - 1]
        list[j] = value
    }
    return count % 2 ? list[(count + 1) / 2] : (list[count / 2] + list[count / 2 + 1]) / 2
}

# The median of a program's row, or "" when there is none; sets `lowest` and `highest`.
function figure(program, row,    list, count, i, middle) {
    count = samples[program, row]
    if (!count)
        return ""
    for (i = 1; i <= count; i++)
        list[i] = value_of[program, row, i]
    middle = median(list, count)
    lowest = list[1]
    highest = list[count]
    return middle
}

function in_mallocs(row,    list, count, i) {
    count = 0
    for (i = 1; i <= samples["store", row]; i++)
        list[++count] = value_of["store", row, i] / in_round["raw-malloc", round_of["store", row, i]]
    return median(list, count)
}

function is_time(row) {
    return row !~ /^(thread|live|chain)/
}

function shown(row, value) {
    if (value == "")
        return "-"
    if (row ~ /^thread/)
        return sprintf("%.3f", value)
    return sprintf(is_time(row) && value < 999.95 || row == "chain" ? "%.1f" : "%.0f", value)
}

function ours_shown(row, value) {
    if (value == "" || !is_time(row) || row ~ /^raw/ || brief)
        return shown(row, value)
    return sprintf("%s (%.2fx)", shown(row, value), in_mallocs(row))
}

# What is to be reached, and what of it was not.
function judged(row, value, target,    parts, count, i, limit, text, reached) {
    count = split(target, parts, " ")
    for (i = 1; i <= count; i++) {
        limit = parts[i] + 0
        reached = (parts[i] ~ /x$/ ? in_mallocs(row) : value) <= limit
        text = text (i > 1 ? ", " : "") "<= " parts[i] (reached ? "" : " **missed**")
        reached ? met++ : missed++
    }
    return text
}

function cell(line, column, text) {
    cells[line, column] = text
    if (length(text) > width[column])
        width[column] = length(text)
}

function print_line(line,    column, text) {
    for (column = 1; column <= columns; column++)
        if (!brief || (column != 2 && column != 4))
            text = text sprintf("| %-" width[column] "s ", cells[line, column])
    print text "|"
}

FNR == 1 {
    file++
}

file == 1 && !/^#/ {
    split($0, field, / *\| */)
    rows[++row_count] = field[1]
    work[field[1]] = field[2]
    sub(/ +$/, "", field[3])
    sub(/ +$/, "", field[4])
    target[field[1]] = field[3]
    raw[field[1]] = field[4]
}

file == 2 {
    n = ++samples[$1, $3]
    value_of[$1, $3, n] = $4
    round_of[$1, $3, n] = $2
    if ($1 == "store")
        in_round[$3, $2] = $4
}

END {
    names = "work|raw limit|libctxshim|lowest - highest|target|CPython|Node|Mono CallContext|Mono AsyncLocal|Java"
    columns = split(names, title, "|")
    split("context_vars|async_local_storage|callcontext|asynclocal|java", peer, "|")
    for (i = 1; i <= columns; i++)
        cell(0, i, title[i])
    for (i = 1; i <= row_count; i++) {
        row = rows[i]
        ours = figure("store", row)
        cell(i, 1, work[row])
        cell(i, 3, ours_shown(row, ours))
        cell(i, 4, ours == "" ? "-" : shown(row, lowest) " - " shown(row, highest))
        cell(i, 5, ours == "" ? "" : judged(row, ours, target[row]))
        cell(i, 2, raw[row] == "" ? "" : shown(raw[row], figure("store", raw[row])))
        for (j = 1; j in peer; j++)
            cell(i, 5 + j, row ~ /^raw/ ? "" : shown(row, figure(peer[j], row)))
    }
    print_line(0)
    line = "|"
    for (i = 1; i <= columns; i++) {
        if (brief && (i == 2 || i == 4))
            continue
        rule = sprintf("%" width[i] "s", "")
        gsub(/ /, "-", rule)
        line = line "-" rule "-|"
    }
    print line
    for (i = 1; i <= row_count; i++)
        if (!brief || rows[i] !~ /^raw/)
            print_line(i)
    if (!brief)
        printf "\nTargets: %d met, %d missed.\n", met, missed
}
