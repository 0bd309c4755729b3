/* The checks themselves: every case here but `passes` must end the program with a failure. */
#include "check.h"

#include <math.h>

TEST(passes) {
    check_buffer buffer = check_floats(7);
    for (int i = 0; i < 7; i++) buffer.values[i] = 0;
    check_free(&buffer);
}

TEST(failed_check) { CHECK(1 + 1 == 3, "as it should"); }

TEST(nan_is_never_near) { check_near((double)NAN, 0, 1, "nan", 0); }

TEST(write_before) {
    check_buffer buffer = check_floats(7);
    ((volatile float *)buffer.values)[-1] = 0;
    check_free(&buffer);
}

TEST(write_behind) {
    check_buffer buffer = check_floats(7);
    ((volatile float *)buffer.values)[7] = 0;
}

TEST(read_behind) {
    check_buffer buffer = check_floats(7);
    float value = ((volatile float *)buffer.values)[7];
    (void)value;
}

MAIN(CASE(passes), CASE(failed_check), CASE(nan_is_never_near), CASE(write_before), CASE(write_behind),
     CASE(read_behind))
