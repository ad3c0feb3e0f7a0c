/// The interface's types are the library's own: an application imports `Holdfast` alone.
@_exported public import ControlAPI
