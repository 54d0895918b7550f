# Makes ctxshim(7) of provenance.h and concepts.in: the line @EVIDENCES@ stands for the words of the list EVIDENCES with
# what their comments say, but for the rules' numbers in front.

FNR == 1 {
    file++
}

file == 1 && /ROW\(EVIDENCE_[A-Z]+, "/ {
    match($0, /"[a-z]+"/)
    word = substr($0, RSTART + 1, RLENGTH - 2)
    text = ""
}

file == 1 && word != "" {
    line = $0
    sub(/^.*\/\* */, "", line)
    ended = sub(/ *\*\/.*$/, "", line)
    sub(/ *\\$/, "", line)
    sub(/^ +/, "", line)
    text = text (text == "" ? "" : " ") line
    if (ended) {
        while (sub(/^[EF][0-9]+[:,] */, "", text))
            ;
        list = list ".TP\n.I " word "\n" text "\n"
        word = ""
    }
    next
}

file == 1 {
    next
}

/^@EVIDENCES@$/ {
    printf "%s", list
    next
}

{
    gsub(/@VERSION@/, version)
    print
}
