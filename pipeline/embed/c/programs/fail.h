/* How the programs end when they cannot go on. */
#ifndef FAIL_H
#define FAIL_H

enum { MISMATCH = 1, WRONG_USAGE = 2, MALFORMED = 3, CHANGED = 5 };

/* One line on standard error, and the end of the program. */
void fail(int code, const char *format, ...);

#endif
