# Turns what `ctxshim [VERB] --help` prints into roff. `part` is what is wanted of it:
#   verbs      the names of the commands, plain
#   synopsis   its usage lines
#   examples   its examples
#   verb       everything: usage, text, options, examples and other lists
#   keys       the table of `CTXSHIM_OPTIONS=help=1`
#
# The form of the help: headings at the margin, "Usage:", "Options:"; under them lines indented by two, in lists a
# term, at least two blanks, its text; text that goes on is indented deeper.

# As prose, or (verbatim) with a typewriter's signs.
function escape(text, verbatim) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    if (verbatim) {
        gsub(/'/, "\\(aq", text)
        gsub(/`/, "\\(ga", text)
    }
    sub(/^[.']/, "\\\\\\&&", text)
    return text
}

# "-w, --watch=SECONDS", "--dispatch=auto|exact", "annotate=a,b": names bold, what stands for a value italic.
function term(text, count, words, i, at, value, result) {
    count = split(text, words, ", ")
    for (i = 1; i <= count; i++) {
        at = index(words[i], "=")
        value = at ? substr(words[i], at + 1) : ""
        words[i] = "\\fB" escape(at ? substr(words[i], 1, at - 1) : words[i], 1) "\\fR"
        if (at)
            words[i] = words[i] "=" (index(value, "|") ? escape(value, 1) : "\\fI" escape(value, 1) "\\fR")
        result = result (i > 1 ? ", " : "") words[i]
    }
    return result
}

# A line of prose; blank lines before it begin a paragraph.
function prose(text) {
    if (gap)
        print ".PP"
    gap = 0
    print escape(text, 0)
}

function code(text) {
    if (!verbatim)
        print ".PP\n.EX"
    else if (gap)
        print ".sp"
    verbatim = 1
    gap = 0
    print escape(text, 1)
}

function end_code() {
    if (verbatim) {
        print ".EE"
        gap = 1
    }
    verbatim = 0
}

# "  term   text", or text that goes on.
function list_line(line, at) {
    if (line !~ /^  [^ ]/) {
        sub(/^ +/, "", line)
        print escape(line, 0)
        return
    }
    line = substr(line, 3)
    at = match(line, /  +/)
    gap = 0
    print ".TP"
    print term(at ? substr(line, 1, at - 1) : line)
    if (at)
        print escape(substr(line, at + RLENGTH), 0)
}

/^$/ {
    gap = 1
    next
}

/^[A-Z][a-z ]*:$/ {
    end_code()
    heading = $0
    gap = 1
    if (part == "verb" && heading != "Usage:" && heading != "Options:")
        prose($0)
    next
}

# Text at the margin belongs to no heading.
/^[^ ]/ {
    end_code()
    heading = ""
    if (part == "verb")
        prose($0)
    next
}

part == "verbs" {
    if (heading == "Commands:" && /^  [a-z]/)
        print $1
    next
}

part == "synopsis" {
    if (heading == "Usage:")
        print escape(substr($0, 3), 0)
    next
}

part == "examples" {
    if (heading == "Examples:" && /^   /) {
        end_code()
        sub(/^ +/, "")
        print ".RS\n" escape($0, 0) "\n.RE"
    } else if (heading == "Examples:") {
        code(substr($0, 3))
    }
    next
}

part == "keys" {
    if (/^   /)
        print escape(substr($0, 9), 0)
    else
        print ".TP\n" term(substr($0, 3))
    next
}

heading == "Usage:" {
    print (usage_lines++ ? ".br\n" : "") "\\fB" escape(substr($0, 3), 1) "\\fR"
    gap = 1
    next
}

heading == "Examples:" || heading == "" {
    code(substr($0, 3))
    next
}

{
    list_line($0)
}

END {
    end_code()
}
