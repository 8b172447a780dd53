//! How the payload of an enum's variant is written and read.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::punctuated::Punctuated;
use syn::{Attribute, Field, Fields, Ident, LitStr, Meta, Path, Token, Variant, parse_quote};

use crate::stored_type::plain_name;

/// One variant's payload, as the pieces of code that the sets are made of.
pub(crate) struct Payload {
    /// A pattern for the variant.
    pub(crate) any: TokenStream,
    /// A pattern for the variant that borrows what `view` needs.
    pub(crate) borrow: TokenStream,
    /// What is serialised.
    pub(crate) view: TokenStream,
    /// The type that is deserialised.
    pub(crate) owned: TokenStream,
    /// A function from `owned` to the variant.
    pub(crate) build: TokenStream,
    /// The types behind `view` and `owned`.
    pub(crate) definitions: TokenStream,
}

impl Payload {
    /// The payload of a variant that holds one value.
    pub(crate) fn newtype(variant: &Ident, ty: &impl ToTokens) -> Self {
        Self {
            any: quote! { Self::#variant(_) },
            borrow: quote! { Self::#variant(payload) },
            view: quote! { payload },
            owned: ty.to_token_stream(),
            build: quote! { Self::#variant },
            definitions: TokenStream::new(),
        }
    }

    /// The payload of a variant with named fields or none: the object of the fields.
    pub(crate) fn object(krate: &Path, enum_attributes: &[Attribute], variant: &Variant) -> Self {
        let ident = &variant.ident;
        let names: Vec<_> = variant
            .fields
            .iter()
            .flat_map(|field| &field.ident)
            .collect();
        let object = Object::new(krate, enum_attributes, variant);
        let (view, owned) = (&object.view, &object.owned);
        Self {
            any: quote! { Self::#ident { .. } },
            borrow: quote! { Self::#ident { #(#names),* } },
            view: quote! { &#view { #(#names,)* __lifetime: ::core::marker::PhantomData } },
            owned: owned.to_token_stream(),
            build: quote! { |#owned { #(#names),* }| Self::#ident { #(#names),* } },
            definitions: object.define(),
        }
    }
}

/// The structs that stand for a variant's fields when they are written and read.
///
/// The view only borrows. serde writes it by way of the shape, a `remote` definition: so the user's
/// field attributes (`with`, `skip_serializing_if`) see the fields' own types and not references.
struct Object<'a> {
    serde: Path,
    fields: &'a Fields,
    container: Vec<TokenStream>,
    owned: Ident,
    view: Ident,
    shape: Ident,
}

impl<'a> Object<'a> {
    fn new(krate: &Path, enum_attributes: &[Attribute], variant: &'a Variant) -> Self {
        let ident = &variant.ident;
        Self {
            serde: parse_quote!(#krate::__private::serde),
            fields: &variant.fields,
            container: container(enum_attributes, variant),
            owned: format_ident!("__Owned{ident}"),
            view: format_ident!("__View{ident}"),
            shape: format_ident!("__Shape{ident}"),
        }
    }

    fn define(&self) -> TokenStream {
        let (owned, view, shape) = (self.define_owned(), self.define_view(), self.define_shape());
        quote! { #owned #view #shape }
    }

    fn define_owned(&self) -> TokenStream {
        let Self {
            serde,
            container,
            owned,
            ..
        } = self;
        let (path, fields) = (text(serde), self.fields.iter().map(field));
        quote! {
            #[derive(#serde::Deserialize)]
            #[serde(crate = #path, #(#container),*)]
            struct #owned { #(#fields,)* }
        }
    }

    fn define_view(&self) -> TokenStream {
        let Self {
            serde, view, shape, ..
        } = self;
        let borrowed = |Field { ident, ty, .. }: &Field| quote! { #ident: &'__view #ty };
        let (phantom, fields) = (phantom(), self.fields.iter().map(borrowed));
        quote! {
            struct #view<'__view> {
                #(#fields,)*
                #phantom,
            }

            impl #serde::Serialize for #view<'_> {
                fn serialize<__S: #serde::Serializer>(
                    &self,
                    serializer: __S,
                ) -> ::core::result::Result<__S::Ok, __S::Error> {
                    #shape::serialize(self, serializer)
                }
            }
        }
    }

    fn define_shape(&self) -> TokenStream {
        let Self {
            serde,
            container,
            view,
            shape,
            ..
        } = self;
        let (path, fields) = (text(serde), self.fields.iter().map(field));
        let (phantom, remote) = (phantom(), view.to_string());
        quote! {
            #[derive(#serde::Serialize)]
            #[serde(crate = #path, remote = #remote, #(#container),*)]
            struct #shape<'__view> {
                #(#fields,)*
                #[serde(skip)]
                #phantom,
            }
        }
    }
}

fn phantom() -> TokenStream {
    quote! { __lifetime: ::core::marker::PhantomData<&'__view ()> }
}

fn field(
    Field {
        attrs, ident, ty, ..
    }: &Field,
) -> TokenStream {
    let attributes = attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("serde"));
    quote! { #(#attributes)* #ident: #ty }
}

fn text(path: &Path) -> LitStr {
    let text = path.to_token_stream().to_string().replace(' ', "");
    LitStr::new(&text, Span::call_site())
}

/// The structs' serde attributes: the variant's name, for messages, and what the user's attributes on
/// enum and variant say about the fields.
fn container(enum_attributes: &[Attribute], variant: &Variant) -> Vec<TokenStream> {
    let on_enum = serde_metas(enum_attributes);
    let on_variant = serde_metas(&variant.attrs);
    let strict = on_enum
        .iter()
        .find(|meta| meta.path().is_ident("deny_unknown_fields"));
    let all = on_enum
        .iter()
        .find(|meta| meta.path().is_ident("rename_all_fields"));
    let here = on_variant
        .iter()
        .find(|meta| meta.path().is_ident("rename_all"));
    let renamed = here.or(all).map(rename_all);
    let name = plain_name(&variant.ident);
    let expecting = format!("the fields of `{}`", name.value());
    let called = quote! { rename = #name, expecting = #expecting };
    let strict = strict.map(ToTokens::to_token_stream);
    [Some(called), strict, renamed]
        .into_iter()
        .flatten()
        .collect()
}

fn rename_all(meta: &Meta) -> TokenStream {
    match meta {
        Meta::NameValue(meta) => {
            let value = &meta.value;
            quote! { rename_all = #value }
        }
        Meta::List(meta) => {
            let tokens = &meta.tokens;
            quote! { rename_all(#tokens) }
        }
        Meta::Path(_) => quote! { rename_all },
    }
}

fn serde_metas(attributes: &[Attribute]) -> Vec<Meta> {
    let parse = Punctuated::<Meta, Token![,]>::parse_terminated;
    let serde = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("serde"));
    serde
        .flat_map(|attribute| attribute.parse_args_with(parse))
        .flatten()
        .collect()
}
