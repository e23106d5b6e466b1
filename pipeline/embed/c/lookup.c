/* Where a code point stands in the vocabulary; 0 for one that it does not have. */
static size_t entry_of(int64_t point) {
    size_t low = 0, high = OUTPUTS - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (known_points[middle] < point)
            low = middle + 1;
        else
            high = middle;
    }
    return low < OUTPUTS - 1 && known_points[low] == point ? known_entries[low] : 0;
}
