//! The macros that make declarations out of types: `settings!` a group of options, `choice!` a value that is
//! one of some words, `groups!` all groups together.

/// A group of options: a struct whose fields are options. The doc comment of a field is its help.
///
/// ```text
/// #[heading("Workers")]
/// /// How many workers there are.
/// pub struct Workers {
///     /// Worker processes to keep alive.
///     #[option("workers", default = WorkerCount::Fixed(1), range(1, 1024), short('w'))]
///     pub count: WorkerCount,
/// }
/// ```
///
/// What follows the default are methods of [`Declaration`](crate::Declaration). Each field has a function of its name
/// that gives its declaration, such as `Workers::count()`.
macro_rules! settings {
    (
        #[heading($heading:literal)]
        $(#[doc = $about:literal])+
        $(#[derive($($derive:ident),+)])?
        pub struct $group:ident {
            $(
                $(#[doc = $doc:literal])+
                #[option($option:literal, default = $default:expr $(, $rule:ident $(($($argument:expr),*))?)*)]
                pub $field:ident: $type:ty,
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        $(#[derive($($derive),+)])?
        pub struct $group {
            $(
                $(#[doc = $doc])+
                pub $field: $type,
            )+
        }

        impl Default for $group {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl $group {
            $(
                #[doc = concat!("The declaration of `--", $option, "`.")]
                #[must_use]
                pub const fn $field() -> &'static $crate::Declaration {
                    const DECLARATION: $crate::Declaration = $crate::Declaration::new::<$type>(
                        $option,
                        $heading,
                        &[$($doc),+],
                        |rules| $crate::OptionValue::render(&$group::default().$field, rules),
                    )$(.$rule($($($argument),*)?))*;
                    &DECLARATION
                }
            )+

            /// The options of this group.
            pub(crate) const DECLARATIONS: &[&$crate::Declaration] = &[$($group::$field()),+];

            /// Sets an option, if it is one of this group.
            pub(crate) fn set(&mut self, option: &str, texts: &[String]) -> Option<Result<(), $crate::BadValue>> {
                match option {
                    $($option => Some(
                        $crate::OptionValue::read(texts, &Self::$field().rules).map(|value| self.$field = value)
                    ),)+
                    _ => None,
                }
            }

            /// Takes the values of some options from other settings.
            pub(crate) fn keep(&mut self, before: &Self, kept: impl Fn(&$crate::Declaration) -> bool) {
                $(if kept(Self::$field()) {
                    self.$field.clone_from(&before.$field);
                })+
            }

            /// The options that have another value here than there.
            pub(crate) fn changed(&self, before: &Self) -> Vec<&'static $crate::Declaration> {
                let differs = [$((Self::$field(), self.$field != before.$field)),+];
                differs.into_iter().filter(|(_, differs)| *differs).map(|(option, _)| option).collect()
            }
        }
    };
}

/// A value that is one of some words. A variant may have several; the first is its name.
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        pub enum $choice:ident {
            $($(#[doc = $doc:literal])+ $variant:ident = $name:literal $(| $synonym:literal)*,)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $choice {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $choice {
            /// The words to choose from.
            pub const NAMES: &[&str] = &[$($name, $($synonym,)*)+];

            /// The word for it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What a word stands for.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name $(| $synonym)* => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

/// [`choice!`] as the value of an option.
macro_rules! choices {
    ($($(#[doc = $about:literal])+ pub enum $choice:ident { $($body:tt)+ })+) => {
        $(
            choice! {
                $(#[doc = $about])+
                pub enum $choice { $($body)+ }
            }

            impl $crate::OptionValue for $choice {
                const SHAPE: $crate::Shape = $crate::Shape::Choice(Self::NAMES);

                fn parse(text: &str, _: &$crate::Rules) -> Option<Self> {
                    Self::from_name(&text.to_ascii_lowercase())
                }

                fn render(&self, _: &$crate::Rules) -> Vec<String> {
                    vec![self.name().to_owned()]
                }

                fn value_name(_: &$crate::Rules) -> String {
                    Self::NAMES.join("|")
                }

                fn expected(_: &$crate::Rules) -> String {
                    format!("one of {}", Self::NAMES.join(", "))
                }
            }
        )+
    };
}

/// All groups.
macro_rules! groups {
    (
        $(#[doc = $about:literal])+
        pub struct $all:ident {
            $($(#[doc = $doc:literal])+ pub $field:ident: $group:ident,)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $all {
            $($(#[doc = $doc])+ pub $field: $group,)+
        }

        impl $all {
            /// Every option, in the order of help and reference.
            pub fn options() -> impl Iterator<Item = &'static $crate::Declaration> {
                [$($group::DECLARATIONS),+].into_iter().flatten().copied()
            }

            /// Sets an option to what a user wrote: the last text, or all of them for a list.
            ///
            /// # Errors
            /// The text that the option does not take; [`Declaration::expected`](crate::Declaration::expected) says what it does.
            pub fn set(&mut self, option: &$crate::Declaration, texts: &[String]) -> Result<(), $crate::BadValue> {
                $(if let Some(outcome) = self.$field.set(option.name, texts) {
                    return outcome;
                })+
                Ok(())
            }

            /// Takes the values of some options from other settings.
            pub fn keep(&mut self, before: &Self, kept: impl Fn(&$crate::Declaration) -> bool) {
                $(self.$field.keep(&before.$field, &kept);)+
            }

            /// The options that have another value here than there.
            #[must_use]
            pub fn changed(&self, before: &Self) -> Vec<&'static $crate::Declaration> {
                [$(self.$field.changed(&before.$field)),+].concat()
            }
        }
    };
}

pub(crate) use {choice, choices, groups, settings};
