#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

gm_status gm_error_set(gm_error *error, gm_status status, const char *format, ...) {
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        error->status = status;
        (void)vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
    }
    return status;
}
