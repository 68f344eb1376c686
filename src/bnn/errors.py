# SPDX-License-Identifier: BSD-3-Clause
"""Everything that can go wrong by the user's hand, one class per kind of cause.

Every message is one line that names the file (or argument) and the reason, and
says what to do where that is not obvious. The command line prints that line and
nothing else.
"""


class BnnError(Exception):
    """Base of every error that this package raises on purpose."""


class BnnWarning(UserWarning):
    """Base of this package's notices; nothing is wrong yet. The command line prints one line."""


class OldFormatWarning(BnnWarning):
    """A file of an older version of its format: readable, but without what the newer one has."""


class ProgramError(BnnError):
    """A program that cannot exist: wrong shapes, precisions or accumulator widths."""


class ModelFileError(BnnError):
    """A ``.bnn`` file that is missing, damaged or lying about its contents."""


class ParameterError(BnnError):
    """An original parameter folder or archive that is missing, incomplete or damaged."""


class DataError(BnnError):
    """A data set or picture that cannot be read."""


class UnreadableError(DataError):
    """Pictures of one data set that cannot be read; ``lines`` names each, if they are several."""

    def __init__(self, message: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.lines = lines


class InputError(BnnError, ValueError):
    """Inputs of a shape, type or value range that the model does not take."""


class UnknownNameError(BnnError, LookupError):
    """A model, runtime, data set or network name that nobody knows."""


class RuntimeUnavailableError(BnnError, RuntimeError):
    """A runtime that this machine does not have (no accelerator, no native module)."""


class NetworkError(BnnError):
    """A trained network or topology that makes no sense, or that integers cannot say exactly."""


class TrainError(BnnError):
    """A training that cannot start or go on: wrong settings, checkpoint or data, NaN loss."""


class BuildError(BnnError):
    """A model, folding or board that no hardware can be built for; names layer or key."""


class PlanError(BnnError):
    """A wish for a plan that cannot be met; says what is exceeded and the nearest that can."""


class DriverError(BnnError, RuntimeError):
    """An accelerator that refuses or fails: wrong design, bad set-up, no answer."""


class DisagreementError(BnnError):
    """A runtime with another value than the reference; names the edge and the first place."""


class CacheError(BnnError):
    """The cache folder cannot be used: not private, not writable or full; names ``BNN_CACHE``."""


class FormatError(BnnError):
    """Another framework's file that is damaged, or that says what this package cannot hold."""
