# The most frequent words and how much of the text they are.
{ total += $1; if (NR <= top) { count[NR] = $1; word[NR] = $2 } }
END {
    for (i = 1; i <= top && i <= NR; i++)
        printf "%-12s %6d  %5.2f %%\n", word[i], count[i], 100 * count[i] / total
    printf "%d words, %d different\n", total, NR
}
