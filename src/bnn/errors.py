# SPDX-License-Identifier: BSD-3-Clause
"""Errors that a user's input can cause, one class per kind of cause.

Every message is one line. It names the file (or argument) and the reason, and says what
to do if that is not obvious. The command line prints this line and nothing else; only for
pictures that cannot be read it prints a line for each of them too.
"""


class BnnError(Exception):
    """Base of every error that this package raises on purpose."""


class BnnWarning(UserWarning):
    """Base of this package's warnings; the command line prints each as one line."""


class OldFormatWarning(BnnWarning):
    """A file has an older version of its format: it can be read, but lacks newer fields."""


class ProgramError(BnnError):
    """A program is not valid: wrong shapes, precisions or accumulator widths."""


class ModelFileError(BnnError):
    """A ``.bnn`` file is missing or damaged, or its header does not match its contents."""


class ParameterError(BnnError):
    """An original parameter folder or archive is missing, incomplete or damaged."""


class DataError(BnnError):
    """A data set or picture cannot be read."""


class UnreadableError(DataError):
    """Pictures of a data set cannot be read.

    ``lines`` has a line for each of the pictures if there are several; else it is empty.
    """

    def __init__(self, message: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.lines = lines


class InputError(BnnError, ValueError):
    """Inputs have a shape, dtype or value range that the model does not accept."""


class UnknownNameError(BnnError, LookupError):
    """A name of a model, runtime, data set or network is unknown."""


class RuntimeUnavailableError(BnnError, RuntimeError):
    """A runtime is not available on this machine (no accelerator, no native module)."""


class HostLayerError(BnnError):
    """A function that computes a layer on the host raised, or its result is not the layer's."""


class NetworkError(BnnError):
    """A trained network or topology is not valid, or integers cannot express it exactly."""


class TrainError(BnnError):
    """A training cannot start or continue: wrong settings, checkpoint or data, or NaN loss."""


class BuildError(BnnError):
    """No hardware can be built for a model, folding or board; the message names layer or key."""


class PlanError(BnnError):
    """A requested plan is impossible; the message names the exceeded limit and the nearest plan."""


class DriverError(BnnError, RuntimeError):
    """An accelerator refuses or fails: wrong design, wrong set-up, no answer."""


class DisagreementError(BnnError):
    """A runtime's value differs from the reference's; the message names edge and position."""


class CacheError(BnnError):
    """The cache folder cannot be used: it is not private, not writable, or full.

    The message names the environment variable ``BNN_CACHE``, which sets another folder.
    """


class FormatError(BnnError):
    """A file of another framework is damaged, or contains what cannot be converted."""


class ServeError(BnnError):
    """A server cannot start, because of its address, its models, its token or its limits."""


class BulkError(BnnError):
    """A bulk classification cannot start or go on, because of sources, output or processes."""
