/* The program that the benchmarks run as an action: its first act is to note the time, its last to write it
 * into the file that it is given. Static, so that nothing but the kernel lies between exec and that. */
#include <fcntl.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	int64_t nanoseconds = now.tv_sec * 1000000000LL + now.tv_nsec;
	int file = open(argc > 1 ? argv[1] : "/dev/null", O_WRONLY | O_CREAT | O_APPEND, 0644);
	return write(file, &nanoseconds, sizeof nanoseconds) == sizeof nanoseconds ? 0 : 1;
}
